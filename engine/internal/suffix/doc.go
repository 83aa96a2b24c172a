// Package suffix knows the public suffixes: the names below which anyone may register one, such as
// "com", "co.uk" and "github.io", as https://publicsuffix.org lists them.
//
// The tables in data are those of golang.org/x/net/publicsuffix, octet for octet, and so is the way
// in which they are read. That package itself imports net/http/cookiejar and with it an HTTP
// client, which would weigh on every embedder of the engine. A test holds that both agree. After an
// update of golang.org/x/net, copy its publicsuffix/data and the constants of its
// publicsuffix/table.go.
//
// The code is under the licence of the Go authors, in the file LICENSE; the list is under the
// Mozilla Public License 2.0 (https://mozilla.org/MPL/2.0/).
package suffix
