#!/bin/bash
# nginx with Nchan on a free port: each path /room/NAME is a room that hears all its members, the
# sender too. One process, so that its pid is the server.
set -eu
mkdir -p "$1"
cd "$1"
while :; do
    port=$((20000 + RANDOM % 10000))
    (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null || break # nobody listens there
done
cat >nginx.conf <<END
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
worker_rlimit_nofile $(ulimit -Hn);
events { worker_connections 21000; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    nchan_shared_memory_size 512M;
    server {
        listen 127.0.0.1:$port backlog=4096;
        location ~ ^/room/(\w+)\$ {
            nchan_pubsub websocket;
            nchan_channel_id \$1;
            nchan_message_buffer_length 0;
            nchan_websocket_ping_interval 0;
        }
    }
}
END
# nginx does not say when it listens.
for _ in $(seq 100); do
    (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null && echo "listening on 127.0.0.1:$port" >&2 && break
    sleep 0.05
done &
exec nginx -p "$PWD/" -c nginx.conf
