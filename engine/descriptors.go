package engine

// The shares of the descriptors that the process may open. What checks in flight leave is for idle
// connections, resolver sockets, files, and second addresses of a dual-stack name.
const (
	checkShare   = 0.8 // for checks in flight,
	otherUse     = 24  // and this many are not theirs, which counts where there are few
	idleShare    = 0.1 // for idle connections
	queryShare   = 16  // one in so many for the sockets to one DNS server,
	leastQueries = 2   // of which A and AAAA want one each
)

// boundedConcurrency lowers n to what the descriptor limit allows. 0 as limit means unknown.
func boundedConcurrency(n int, limit uint64) int {
	most := min(int(float64(limit)*checkShare), int(limit)-otherUse)
	return bounded(n, most, limit)
}

// boundedIdle does so for idle connections.
func boundedIdle(n int, limit uint64) int {
	return bounded(n, int(float64(limit)*idleShare), limit)
}

func bounded(n, most int, limit uint64) int {
	if limit == 0 || limit >= 1<<31 || n <= most {
		return n
	}
	return max(1, most)
}

// boundedSockets lowers n, the sockets to one DNS server, to what the descriptor limit allows; n 0
// is the resolver's own default, and stays where that is allowed.
func boundedSockets(n int, limit uint64) int {
	const enough = 128 // descriptors, for the default
	if limit == 0 || limit >= enough || n > 0 {
		return n
	}
	return max(leastQueries, int(limit/queryShare))
}
