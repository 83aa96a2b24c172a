#!/usr/bin/env bash
# Measures the whole command: 20,000 URLs over as many 127/8 addresses, one nginx worker on the same
# machine, records to a file. Needs Linux, nginx and GNU time (Debian: nginx-light, time).
#
#   bench/scan.sh [ROUNDS [CONCURRENCY]]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5} concurrency=${2:-300} port=18080 urls=20000

for tool in nginx /usr/bin/time; do
	command -v "$tool" >/dev/null || { echo "bench/scan.sh: $tool is missing; apt-get install nginx-light time" >&2; exit 2; }
done
dir=$(mktemp -d)
cat >"$dir/nginx.conf" <<CONF
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log;
events { worker_connections 16384; }
http {
	access_log off;
	client_body_temp_path $dir; proxy_temp_path $dir; fastcgi_temp_path $dir; uwsgi_temp_path $dir; scgi_temp_path $dir;
	server { listen $port backlog=8192; location / { return 200 "ok\n"; } }
}
CONF
nginx -c "$dir/nginx.conf" 2>/dev/null
trap 'kill "$(cat "$dir/nginx.pid")"; rm -rf "$dir"' EXIT
awk -v n=$urls -v p=$port 'BEGIN { for (i = 0; i < n; i++) printf "http://127.%d.%d.%d:%d/\n", 1 + i / 62500, i / 250 % 250, i % 250 + 1, p }' >"$dir/urls.txt"

go build -o "$dir/sonde" ./cmd/sonde
for _ in $(seq "$rounds"); do
	/usr/bin/time -v -o "$dir/time" "$dir/sonde" scan -q -c "$concurrency" -o "$dir/out.jsonl" "$dir/urls.txt"
	ok=$(grep -c '"status_code":200,.*"failed":false' "$dir/out.jsonl")
	awk -v n=$urls -v ok="$ok" '
		/User time/ { user = $NF } /System time/ { kernel = $NF } /Maximum resident/ { rss = $NF } /Elapsed/ { wall = $NF }
		END { printf "%.1f us of CPU a check (user %.1f, system %.1f), %d MB, %s, %d of %d ok\n",
			(user + kernel) / n * 1e6, user / n * 1e6, kernel / n * 1e6, rss / 1024, wall, ok, n }' "$dir/time"
done
