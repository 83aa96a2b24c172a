package engine

// queue is a first-in, first-out list. The zero value is empty.
type queue[T any] struct {
	items []T
	head  int // index of the first item; the slots before it are free
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

func (q *queue[T]) push(v T) {
	if len(q.items) == cap(q.items) && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

// pushFront puts v before all others.
func (q *queue[T]) pushFront(v T) {
	if q.head == 0 {
		free := len(q.items) + 1 // so that the next ones need not move the items again
		q.items = append(make([]T, free, 2*free), q.items...)
		q.head = free
	}
	q.head--
	q.items[q.head] = v
}

// pop returns the first item of a queue that is not empty.
func (q *queue[T]) pop() T {
	var zero T
	v := q.items[q.head]
	q.items[q.head] = zero // so that nothing is kept alive from here
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return v
}
