package wire

import "errors"

// Errors of [AppendRequest]. Nothing was appended when one is returned.
var (
	// ErrMethod is returned when the method is not a token (RFC 9110 section 9.1).
	ErrMethod = errors.New("wire: method is not a token")
	// ErrTarget is returned when the request-target is not in origin form, or
	// holds a control, a space, a fragment or a byte above 0x7e; "*" is
	// accepted with OPTIONS alone.
	ErrTarget = errors.New("wire: request-target is not in origin form")
	// ErrHost is returned when the Host value is empty or holds a byte that no
	// host and port can hold by RFC 3986 section 3.2.2 and by the URL standard.
	ErrHost = errors.New("wire: Host value is not a host and port")
	// ErrFieldName is returned when a field name is not a token.
	ErrFieldName = errors.New("wire: field name is not a token")
	// ErrFieldValue is returned when a field value holds a control other than
	// a horizontal tab.
	ErrFieldValue = errors.New("wire: field value holds a control character")
	// ErrReservedField is returned when Fields names a field that AppendRequest
	// writes itself: Host, Content-Length, Transfer-Encoding, and Connection
	// when Close is set.
	ErrReservedField = errors.New("wire: field is written by the request itself")
)

// Errors of [ResponseHead.Parse] and [ResponseHead.EOF].
var (
	// ErrIncomplete is returned when no error was seen and more bytes are needed.
	ErrIncomplete = errors.New("wire: response head is incomplete")
	// ErrEmptyReply is returned when the peer closed before any byte.
	ErrEmptyReply = errors.New("wire: empty reply")
	// ErrNotHTTP is returned when the first line is that of another protocol.
	ErrNotHTTP = errors.New("wire: response is not HTTP")
	// ErrHTTP09 is returned when the bytes are no status line at all and the
	// peer closed, or more than 4 KiB of them arrived.
	ErrHTTP09 = errors.New("wire: response has no status line")
	// ErrStatusLine is returned when the line begins with "HTTP/" and is not a
	// status line, or holds a NUL or a CR that no LF follows, and when a
	// second empty line stands in its place.
	ErrStatusLine = errors.New("wire: malformed status line")
	// ErrVersion is returned when the version is not HTTP/1.x.
	ErrVersion = errors.New("wire: unsupported HTTP version")
	// ErrStatusCode is returned when the code is not three digits from 100 to 999.
	ErrStatusCode = errors.New("wire: invalid status code")
	// ErrHeader is returned when a field line holds a NUL, or a CR that no LF
	// follows. [Chunked.Next] returns it for a trailer.
	ErrHeader = errors.New("wire: malformed field line")
	// ErrHeadTooLarge is returned when the head cannot end within
	// [Limits]. [Chunked.Next] returns it for a trailer section.
	ErrHeadTooLarge = errors.New("wire: response head too large")
	// ErrHeadTruncated is returned when the peer closed inside the head.
	ErrHeadTruncated = errors.New("wire: response head truncated")
)

// Errors of [ResponseHead.Framing] and [Chunked.Next].
var (
	// ErrContentLength is returned when Content-Length is not one number from
	// 0 to 2^63-1, however often it is repeated.
	ErrContentLength = errors.New("wire: invalid Content-Length")
	// ErrTransferEncoding is returned when Transfer-Encoding is anything but
	// "chunked".
	ErrTransferEncoding = errors.New("wire: unsupported Transfer-Encoding")
	// ErrChunk is returned when a chunk size line is malformed, or chunk data
	// is not followed by CRLF.
	ErrChunk = errors.New("wire: malformed chunk")
	// ErrChunkOverhead is returned when a body carries more than 16 KiB of
	// chunk extensions.
	ErrChunkOverhead = errors.New("wire: too many bytes of chunk extensions")
)
