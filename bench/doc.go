// Package bench holds the benchmarks that compare Sonde with the clients one would otherwise
// write a checker with, and those of its hot paths. There is nothing to import: all of it is in the
// tests.
//
//	go test -bench Check -count 10 ./bench | tee bench.txt
//	benchstat -col /client bench.txt
//
// What makes the figures comparable:
//
//   - One workload table for all clients; a row is a benchmark's name: conn, scheme, inflight.
//   - The origin is a process of its own, so that ns/op alone holds its work; cpu-us/check is the
//     user and system time of the client's process.
//   - Every response is verified, in the same way for every client: the status, a token of the
//     request that the origin returns in a field, the length of the body, and a text at its end.
//   - Every client has time limits, offers the same key exchange, and resumes no TLS session.
//   - Addresses are IP literals: no client looks a name up.
//
// On a machine with few cores the origin takes part of the time of which ns/op and checks/s tell;
// cpu-us/check is the figure to compare.
package bench
