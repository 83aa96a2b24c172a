#!/usr/bin/env bash
# Scans a list that is too long for memory, made while it is read: LINES lines over HOSTS names of one
# domain, answered by an nsd and a kept-alive nginx on the same machine, records to a .zst file. Shows
# the scan's resident memory at a million lines and at the end, its peak, and how long --resume of the
# finished file takes. Needs Linux, nginx, nsd and GNU time (Debian: nginx-light, nsd, time).
#
#   bench/longlist.sh [LINES [HOSTS]]
set -euo pipefail
cd "$(dirname "$0")/.."
lines=${1:-10000000} hosts=${2:-1000} port=18081 dns=18053

for tool in nginx nsd /usr/bin/time; do
	command -v "$tool" >/dev/null || { echo "bench/longlist.sh: $tool is missing; apt-get install nginx-light nsd time" >&2; exit 2; }
done
dir=$(mktemp -d)
cat >"$dir/nginx.conf" <<CONF
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log;
events { worker_connections 16384; }
http {
	access_log off;
	keepalive_requests 1000000000;
	client_body_temp_path $dir; proxy_temp_path $dir; fastcgi_temp_path $dir; uwsgi_temp_path $dir; scgi_temp_path $dir;
	server { listen 127.0.0.1:$port backlog=8192; location / { return 200 "ok\n"; } }
}
CONF
printf '$ORIGIN lab.test.\n$TTL 86400\n@ SOA ns.lab.test. root.lab.test. 1 3600 600 86400 86400\n@ NS ns\nns A 127.0.0.1\n* A 127.0.0.1\n' >"$dir/lab.zone"
cat >"$dir/nsd.conf" <<CONF
server:
	ip-address: 127.0.0.1@$dns
	username: ""
	database: ""
	zonelistfile: "$dir/zone.list"
	xfrdfile: "$dir/xfrd.state"
	pidfile: "$dir/nsd.pid"
	xfrdir: "$dir"
	logfile: "$dir/nsd.log"
remote-control:
	control-enable: no
zone:
	name: lab.test
	zonefile: "$dir/lab.zone"
CONF
nsd -c "$dir/nsd.conf"
nginx -c "$dir/nginx.conf" 2>/dev/null
stop() {
	local servers=("$(cat "$dir/nginx.pid")" "$(cat "$dir/nsd.pid")")
	kill "${servers[@]}"
	while kill -0 "${servers[@]}" 2>/dev/null; do sleep 0.1; done
	rm -rf "$dir"
}
trap stop EXIT

go build -o "$dir/sonde" ./cmd/sonde
make_list() { # the resident memory of the process $1 goes to standard error at each million
	awk -v n="$lines" -v hosts="$hosts" -v port=$port -v pid="${1:-}" 'BEGIN {
		for (i = 1; i <= n; i++) {
			print "http://h" i % hosts ".lab.test:" port "/" i
			if (pid && (i % 1000000 == 0 || i == n)) {
				fflush()
				system("awk -v i=" i " \"/VmRSS/ { printf \\\"%d lines given: %d MB\\\\n\\\", i, \\$2 / 1024 }\" /proc/" pid "/status >&2")
			}
		}
	}'
}
mkfifo "$dir/list"
scan=("$dir/sonde" scan -q --resolver 127.0.0.1:$dns -4 -o "$dir/out.jsonl.zst" --summary-json "$dir/sum.json" -)
/usr/bin/time -f 'peak %M KB, %e s, %U s user, %S s system' "${scan[@]}" <"$dir/list" &
exec 3>"$dir/list" # the scan has it open from here on
until pid=$(pgrep -P $!); do sleep 0.1; done
make_list "$pid" >&3
exec 3>&-
wait $!
echo "output: $(stat -c %s "$dir/out.jsonl.zst") bytes"
tr -d ' \n' <"$dir/sum.json" | grep -o '"lines":{[^}]*}'
echo "--resume of the finished file:"
make_list | /usr/bin/time -f 'peak %M KB, %e s' "${scan[@]}" --resume
tr -d ' \n' <"$dir/sum.json" | grep -o '"lines":{[^}]*}'
