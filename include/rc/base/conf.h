/*
 * conf.h - the configuration: an INI file and -o options, checked against one table of keys.
 *
 * The table (RC_CONF_MAP) has one row per key: it drives parsing, defaults, ranges, --check,
 * --print-config, --help and the check that conf/roomcast.ini and docs/configuration.md name every key.
 * [event ...], [connect ...], [namespace ...], [room ...], [endpoint ...] and [listen ...] sections are lists
 * of entries in the order in which they were written; broker/rules, app and listener compile them.
 *
 * Threads:   load, free: main.  A struct rc_conf is immutable once the threads run: any reads.
 * Ownership: rc_conf_load fills the caller's struct; rc_conf_free frees what is inside.
 */
#ifndef RC_BASE_CONF_H
#define RC_BASE_CONF_H

#include "rc/base/buf.h"
#include "rc/base/err.h"
#include "rc/base/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* X(section, key, type, default, min, max, reloadable, help). Types and the fields they fill:
 *   BOOL bool · INT uint32_t · POW2 uint32_t, a power of two · AUTO uint32_t, 0 for "auto"
 *   SIZE uint64_t in bytes: "1MB" is 1,000,000 as in the reference server, "1MiB" 1,048,576
 *   CEILING uint64_t, as SIZE; 0 for "off", RC_CONF_CEILING_AUTO for "auto"
 *   DURATION uint32_t in ms: "300ms", "25s", "2m", "1h"
 *   STRING, EVENTNAME, TOKEN char * · PATH char *, of a URL: "" or "/a/b", or "/" when max is 1
 *   DIR, FILE char *, of a folder or a file: "" or absolute; what the INI file says is relative
 *   to the file's own folder · LISTEN, TRANSPORTS, ORIGINS, TOKENS, TEXTS, FILES, NETWORKS struct
 *   rc_conf_list, by comma; min and max count its items · LOGLEVEL, ACKPOLICY, UNKNOWNEVENT,
 *   SAMESITE, UIMODE, PARSER, AUTHMODE, STOREENGINE, STORETLS, RATEPOLICY, CLUSTERMODE: the enums below */
#define RC_CONF_MAP(X)                                                                        \
    X(server, listen, LISTEN, "0.0.0.0:3000", 0, 64, 0,                                       \
      "addresses to listen on, host:port or unix:/path by comma; port 0 takes a free one; "   \
      "with [listen] sections, none unless it is set")                                        \
    X(server, trusted_proxies, NETWORKS, "", 0, 64, 1,                                        \
      "networks of proxies whose PROXY headers and X-Forwarded-For are believed; those that " \
      "come by a Unix socket always are")                                                     \
    X(server, shards, AUTO, "auto", 1, 64, 0, "worker threads; auto is one per core")         \
    X(server, cpu_affinity, BOOL, "no", 0, 0, 0, "keep each shard on a core of its own")      \
    X(server, realtime, BOOL, "no", 0, 0, 0,                                                  \
      "shards go before all other work of the machine (SCHED_RR), if it is permitted")        \
    X(server, static_root, DIR, "", 0, 0, 1,                                                  \
      "folder of files to serve; they are read at start and on reload; empty serves none")    \
    X(server, title, STRING, "roomcast", 0, 0, 1,                                             \
      "fills {title} in the HTML files of static_root")                                       \
    X(server, health_path, PATH, "/healthz", 0, 0, 1,                                         \
      "path that answers 200 ok while the server runs; empty turns it off")                   \
    X(server, backlog, INT, "1024", 1, 65535, 0,                                              \
      "connections that the kernel may queue for accept")                                     \
    X(server, ring_slots, POW2, "1024", 64, 1048576, 0,                                       \
      "slots of each ring between two threads")                                               \
    X(server, io_uring, BOOL, "yes", 0, 0, 0,                                                 \
      "write to many connections by one system call, where the kernel permits it")            \
    X(server, drain_delay, DURATION, "0ms", 0, 600000, 1,                                     \
      "time from SIGTERM, when /readyz says 503, to the end of listening")                    \
    X(server, drain_time, DURATION, "0ms", 0, 3600000, 1,                                     \
      "time over which SIGTERM then spreads the ends of the connections")                     \
    X(server, shutdown_timeout, DURATION, "10s", 0, 600000, 1,                                \
      "time that connections have to end, once they were told to")                            \
    X(log, level, LOGLEVEL, "info", 0, 0, 1, "the least important of what is logged")         \
    X(socketio, path, PATH, "/socket.io", 0, 0, 0,                                            \
      "path of the Socket.IO endpoint; empty turns Socket.IO off")                            \
    X(socketio, add_trailing_slash, BOOL, "yes", 0, 0, 0,                                     \
      "is the endpoint path and a slash? no: all that begins with path")                      \
    X(socketio, ping_interval, DURATION, "25s", 100, 86400000, 0,                             \
      "time between a pong and the next ping")                                                \
    X(socketio, ping_timeout, DURATION, "20s", 100, 86400000, 0, "time to wait for the pong") \
    X(socketio, max_payload, SIZE, "1MB", 128, 1073741824, 0,                                 \
      "longest message or POST body (maxHttpBufferSize)")                                     \
    X(socketio, connect_timeout, DURATION, "45s", 100, 86400000, 1,                           \
      "time to join a first namespace")                                                       \
    X(socketio, upgrade_timeout, DURATION, "10s", 100, 86400000, 1,                           \
      "time for an upgrade to WebSocket to complete")                                         \
    X(socketio, close_timeout, DURATION, "30s", 100, 86400000, 1,                             \
      "time that a closed polling session waits to be told")                                  \
    X(socketio, transports, TRANSPORTS, "polling, websocket", 1, 2, 0,                        \
      "allowed transports: polling, websocket")                                               \
    X(socketio, allow_upgrades, BOOL, "yes", 0, 0, 1,                                         \
      "may a polling session move to WebSocket?")                                             \
    X(socketio, per_message_deflate, BOOL, "no", 0, 0, 1,                                     \
      "compress WebSocket messages for clients that offer it (RFC 7692)")                     \
    X(socketio, deflate_threshold, SIZE, "1KiB", 0, 1073741824, 0,                            \
      "shorter messages are sent uncompressed, also on endpoints")                            \
    X(socketio, deflate_level, INT, "4", 1, 9, 0,                                             \
      "1 compresses fastest, 9 best; also on endpoints")                                      \
    X(socketio, deflate_no_context_takeover, BOOL, "yes", 0, 0, 1,                            \
      "clients must compress each message by itself; no costs memory; also on endpoints")     \
    X(socketio, deflate_window_bits, INT, "15", 8, 15, 1,                                     \
      "window of clients, 2^N bytes, if they let us choose; also on endpoints")               \
    X(socketio, http_compression, BOOL, "yes", 0, 0, 1,                                       \
      "compress the answers to polls, if the client accepts gzip or deflate")                 \
    X(socketio, http_compression_threshold, SIZE, "1KiB", 0, 1073741824, 1,                   \
      "shortest answer to a poll that is compressed")                                         \
    X(socketio, allow_origin, ORIGINS, "", 0, 256, 1,                                         \
      "the only origins whose pages may connect, by WebSocket too; empty is all")             \
    X(socketio, cors_origin, ORIGINS, "", 0, 256, 1,                                          \
      "origins that may use the endpoint from other sites; * is all; empty none")             \
    X(socketio, cors_credentials, BOOL, "no", 0, 0, 1,                                        \
      "send Access-Control-Allow-Credentials: true")                                          \
    X(socketio, cors_methods, TOKENS, "GET, HEAD, PUT, PATCH, POST, DELETE", 1, 64, 1,        \
      "Access-Control-Allow-Methods of a preflight")                                          \
    X(socketio, cors_allowed_headers, TOKENS, "", 0, 64, 1,                                   \
      "Access-Control-Allow-Headers of a preflight; empty is what it asks for")               \
    X(socketio, cors_exposed_headers, TOKENS, "", 0, 64, 1, "Access-Control-Expose-Headers")  \
    X(socketio, cors_max_age, DURATION, "0ms", 0, 86400000, 1,                                \
      "time that browsers may keep a preflight's answer; 0ms says nothing of it")             \
    X(socketio, cookie, TOKEN, "", 0, 0, 1,                                                   \
      "name of a cookie with the session id that a polling handshake sets; empty sets none")  \
    X(socketio, cookie_path, PATH, "/", 0, 1, 1, "Path of the cookie; empty leaves it out")   \
    X(socketio, cookie_http_only, BOOL, "yes", 0, 0, 1, "may scripts not read the cookie?")   \
    X(socketio, cookie_secure, BOOL, "no", 0, 0, 1, "is the cookie for https only?")          \
    X(socketio, cookie_same_site, SAMESITE, "lax", 0, 0, 1,                                   \
      "SameSite of the cookie; off leaves it out")                                            \
    X(socketio, allow_eio3, BOOL, "no", 0, 0, 1,                                              \
      "serve clients of Socket.IO 2 as well (Engine.IO 3)")                                   \
    X(socketio, parser, PARSER, "auto", 0, 0, 1,                                              \
      "what clients speak: json, msgpack, or auto: each client's first packet says it")       \
    X(socketio, serve_client, BOOL, "yes", 0, 0, 1, "serve the client bundles below path")    \
    X(socketio, client_dir, DIR, "", 0, 0, 1,                                                 \
      "folder of the bundles socket.io*.js; empty looks beside the executable")               \
    X(socketio, ack_policy, ACKPOLICY, "auto", 0, 0, 1,                                       \
      "answer to an event with an ack id whose rule says nothing: auto, none")                \
    X(socketio, unknown_event, UNKNOWNEVENT, "ignore", 0, 0, 1,                               \
      "an event without a rule: ignore or disconnect")                                        \
    X(socketio, error_event, EVENTNAME, "error", 0, 0, 1,                                     \
      "event that tells a sender without ack why a rule refused; empty is none")              \
    X(socketio, presence_event, EVENTNAME, "presence", 0, 0, 1,                               \
      "event that tells who came to a room and who left; empty is none")                      \
    X(auth, mode, AUTHMODE, "off", 0, 0, 1,                                                   \
      "are tokens looked at? also a key of [namespace] and [endpoint]")                       \
    X(auth, secret, STRING, "", 0, 0, 1,                                                      \
      "secret of HS256, HS384, HS512; 32 bytes or more; better in a file; auto makes one")    \
    X(auth, secret_file, FILE, "", 0, 0, 1, "file of that secret, in one line")               \
    X(auth, public_key, FILES, "", 0, 16, 1, "PEM files of public keys, or of certificates")  \
    X(auth, jwks, FILE, "", 0, 0, 1, "file of a JWK set: keys that tokens name by kid")       \
    X(auth, private_key, FILE, "", 0, 0, 1,                                                   \
      "PEM file that roomcast token signs with; the server never reads it")                   \
    X(auth, algorithms, TOKENS, "", 0, 13, 1,                                                 \
      "the only ones that are accepted; empty is all that the keys are for")                  \
    X(auth, issuer, TEXTS, "", 0, 64, 1, "accepted iss; empty is any, or none")               \
    X(auth, audience, TEXTS, "", 0, 64, 1,                                                    \
      "accepted aud; empty takes only tokens without one")                                    \
    X(auth, user_claim, TEXTS, "sub, id", 1, 16, 1,                                           \
      "claims with the id of the user; the first that is there counts")                       \
    X(auth, require_expiry, BOOL, "no", 0, 0, 1, "refuse tokens that never expire?")          \
    X(auth, leeway, DURATION, "10s", 0, 600000, 1,                                            \
      "how far clocks may differ, for exp, nbf and iat")                                      \
    X(auth, grace, DURATION, "30s", 0, 86400000, 1,                                           \
      "time that a client has to refresh a token that has expired")                           \
    X(auth, refresh_event, EVENTNAME, "refreshToken", 0, 0, 1,                                \
      "event that brings a new token; empty is none")                                         \
    X(auth, max_token_size, SIZE, "8KiB", 256, 65536, 1, "bytes of a token")                  \
    X(auth, token_key, TOKEN, "token", 0, 0, 1,                                               \
      "key of the auth object of a CONNECT packet; empty is none")                            \
    X(auth, bearer, BOOL, "yes", 0, 0, 1, "look for Authorization: Bearer?")                  \
    X(auth, query, TOKEN, "token", 0, 0, 1, "parameter of the URL; empty is none")            \
    X(auth, cookie, TOKEN, "", 0, 0, 1, "name of a cookie; empty is none")                    \
    X(auth, revoked, FILE, "", 0, 0, 1,                                                       \
      "file of users and token ids that are refused, and whose clients a reload ends")        \
    X(auth, dev_tokens_path, PATH, "", 0, 0, 1,                                               \
      "for development: path where anybody gets a token of any name; empty turns it off")     \
    X(auth, dev_tokens_ttl, DURATION, "1h", 1000, 86400000, 1, "lifetime of these tokens")    \
    X(store, engine, STOREENGINE, "none", 0, 0, 0,                                            \
      "where messages are kept: none, sqlite (a file), mariadb (a server)")                   \
    X(store, path, FILE, "", 0, 0, 0, "sqlite: the file; its folder must be there")           \
    X(store, host, STRING, "127.0.0.1", 0, 0, 0, "mariadb: name or address of the server")    \
    X(store, port, INT, "3306", 1, 65535, 0, "mariadb: its port")                             \
    X(store, socket, FILE, "", 0, 0, 0, "mariadb: its Unix socket, instead of those")         \
    X(store, user, STRING, "roomcast", 0, 0, 0, "mariadb: the account")                       \
    X(store, password, STRING, "", 0, 0, 0, "mariadb: its password; better in a file")        \
    X(store, password_file, FILE, "", 0, 0, 0, "file of that password, in one line")          \
    X(store, database, STRING, "roomcast", 0, 0, 0,                                           \
      "mariadb: the database, which must be there")                                           \
    X(store, tls, STORETLS, "prefer", 0, 0, 0,                                                \
      "mariadb: off; prefer: if the server can; required: with a good certificate")           \
    X(store, tls_ca, FILE, "", 0, 0, 0,                                                       \
      "PEM file of who signed that certificate; empty takes the system's")                    \
    X(store, timeout, DURATION, "10s", 1000, 600000, 0,                                       \
      "time that the database may take to answer; then it counts as lost")                    \
    X(store, query_timeout, DURATION, "250ms", 1, 600000, 0,                                  \
      "time that a query may take, since the others wait for it; then it fails")              \
    X(store, max_pending, INT, "4096", 1, 1048576, 0,                                         \
      "requests of a shard that may wait for the store; more are refused")                    \
    X(store, max_pending_size, SIZE, "64MiB", 1048576, 17179869184, 0, "bytes of them")       \
    X(store, history_limit, INT, "100", 1, 1000, 0, "messages in one answer at most")         \
    X(store, group_limit, INT, "1000", 1, 100000, 0, "members of a group at most")            \
    X(cluster, redis, STRING, "", 0, 0, 0,                                                    \
      "URL of the Redis that joins nodes; empty: alone; a password: better in a file")        \
    X(cluster, password_file, FILE, "", 0, 0, 0,                                              \
      "file of its password, in one line, instead of one in the URL")                         \
    X(cluster, required, BOOL, "no", 0, 0, 0,                                                 \
      "is a node without Redis of no use? then it does not start, and is not ready")          \
    X(cluster, mode, CLUSTERMODE, "pubsub", 0, 0, 0,                                          \
      "pubsub passes messages on; streams keeps them for nodes that were cut off")            \
    X(cluster, stream, TOKEN, "", 0, 0, 0, "name of the stream; empty is the prefix")         \
    X(cluster, stream_length, INT, "10000", 200, 1000000000, 0,                               \
      "messages that the stream keeps, or a few more")                                        \
    X(cluster, prefix, TOKEN, "socket.io", 0, 0, 0,                                           \
      "how channels begin: the key of the Redis adapters of other servers")                   \
    X(cluster, node, TOKEN, "", 0, 0, 0,                                                      \
      "id of this node among all; empty takes a random one")                                  \
    X(cluster, lease, DURATION, "5s", 100, 600000, 0,                                         \
      "a node that is not heard for so long is gone")                                         \
    X(cluster, listen, LISTEN, "", 0, 1, 0,                                                   \
      "host:port where other nodes pass on requests for sessions of this one; empty: none")   \
    X(cluster, advertise, LISTEN, "", 0, 1, 0,                                                \
      "host:port under which they reach it; port 0: the same; empty: where it listens")       \
    X(cluster, pipe_timeout, DURATION, "2s", 100, 60000, 0,                                   \
      "time to connect to another node for a client of its")                                  \
    X(cluster, max_pipes, INT, "0", 0, 10000000, 1,                                           \
      "connections passed on to other nodes at once; 0: as limits.max_connections allows")    \
    X(cluster, request_timeout, DURATION, "5s", 100, 600000, 0,                               \
      "time that other nodes have to answer a question")                                      \
    X(cluster, rejoin_wait, DURATION, "3s", 0, 60000, 0,                                      \
      "after a loss of Redis: how long what waits is kept for nodes that are not back yet")   \
    X(cluster, max_pending_size, SIZE, "16MiB", 65536, 17179869184, 0,                        \
      "bytes of messages that may wait for Redis; more are dropped")                          \
    X(cluster, max_message_size, SIZE, "16MiB", 1024, 536870912, 0,                           \
      "bytes of a message of another node; longer ones are ignored")                          \
    X(admin, listen, LISTEN, "", 0, 16, 0,                                                    \
      "addresses of the operators' listener with /metrics; empty: none")                      \
    X(admin, socket, FILE, "", 0, 0, 0,                                                       \
      "Unix socket of the console, roomcast ctl; its folder must be there; empty: none")      \
    X(admin, ui, BOOL, "no", 0, 0, 0, "is there a namespace for the Socket.IO Admin UI?")     \
    X(admin, ui_namespace, PATH, "/admin", 0, 0, 0, "its name")                               \
    X(admin, ui_username, STRING, "", 0, 0, 1, "who may log in there")                        \
    X(admin, ui_password_hash, STRING, "", 0, 0, 1, "its password, by bcrypt: $2b$10$...")    \
    X(admin, ui_read_only, BOOL, "no", 0, 0, 1,                                               \
      "only look on: no emit, join, leave, disconnect")                                       \
    X(admin, ui_mode, UIMODE, "development", 0, 0, 0,                                         \
      "development: all sockets, rooms and events; production: figures only")                 \
    X(admin, ui_server_id, STRING, "", 0, 0, 1,                                               \
      "name of this server there; empty is that of the host")                                 \
    X(admin, ui_max_sockets, INT, "10000", 1, 10000000, 1,                                    \
      "sockets that a list for the Admin UI shows at most")                                   \
    X(limits, max_connections, AUTO, "auto", 1, 10000000, 0,                                  \
      "connections in total; auto follows the descriptor limit")                              \
    X(limits, max_connections_per_address, INT, "0", 0, 10000000, 1,                          \
      "connections of one IPv4 address, or IPv6 /64; 0: no limit")                            \
    X(limits, accept_rate, INT, "0", 0, 1000000, 1,                                           \
      "new connections a second in total; 0: no limit")                                       \
    X(limits, accept_burst, INT, "1000", 1, 1000000, 1, "so many of these at once")           \
    X(limits, accept_rate_per_address, INT, "0", 0, 1000000, 1,                               \
      "new connections a second of one address, or IPv6 /64; 0: no limit")                    \
    X(limits, accept_burst_per_address, INT, "50", 1, 1000000, 1, "so many of these at once") \
    X(limits, exempt_networks, NETWORKS, "127.0.0.0/8, ::1", 0, 64, 1,                        \
      "networks that the limits per address do not count")                                    \
    X(limits, auth_failure_rate, INT, "0", 0, 1000000, 1,                                     \
      "bad tokens a second of one address, or IPv6 /64; 0: no limit")                         \
    X(limits, auth_failure_burst, INT, "20", 1, 1000000, 1, "so many of these at once")       \
    X(limits, message_rate, INT, "0", 0, 1000000, 1,                                          \
      "messages a second of a connection; 0: no limit")                                       \
    X(limits, message_burst, INT, "100", 1, 1000000, 1, "so many of these at once")           \
    X(limits, byte_rate, SIZE, "0", 0, 17179869184, 1,                                        \
      "bytes a second that are read of a connection; 0: no limit")                            \
    X(limits, byte_burst, SIZE, "1MiB", 1024, 17179869184, 1, "so many of these at once")     \
    X(limits, rate_policy, RATEPOLICY, "delay", 0, 0, 1,                                      \
      "what happens above message_rate: delay reading, drop events, or close")                \
    X(limits, message_timeout, DURATION, "30s", 100, 3600000, 1,                              \
      "time for 64 KiB of a WebSocket message, or its rest, to arrive")                       \
    X(limits, max_memory, CEILING, "auto", 16777216, 1125899906842624, 1,                     \
      "resident memory above which connections are refused; auto: 80 % of all")               \
    X(limits, max_head_size, SIZE, "16KiB", 512, 1048576, 1, "HTTP request line and headers") \
    X(limits, max_target_size, SIZE, "8KiB", 64, 1048576, 1, "HTTP request target")           \
    X(limits, max_headers, INT, "64", 8, 128, 1, "HTTP header lines")                         \
    X(limits, head_timeout, DURATION, "10s", 100, 600000, 1, "time for a request to arrive")  \
    X(limits, tls_timeout, DURATION, "10s", 100, 600000, 1,                                   \
      "time for the handshake of a TLS connection")                                           \
    X(limits, idle_timeout, DURATION, "75s", 100, 3600000, 1,                                 \
      "time that an idle keep-alive connection is kept")                                      \
    X(limits, json_depth, INT, "64", 1, 1000, 1, "nesting of JSON payloads")                  \
    X(limits, max_attachments, INT, "10", 0, 32, 1, "binary attachments of a packet")         \
    X(limits, max_args, INT, "16", 1, 32, 1, "arguments of an event")                         \
    X(limits, max_event_length, SIZE, "128", 1, 4096, 1, "bytes of an event name")            \
    X(limits, max_namespace_length, SIZE, "128", 1, 4096, 1, "bytes of a namespace name")     \
    X(limits, max_room_length, SIZE, "200", 1, 4096, 1, "bytes of a room name")               \
    X(limits, max_rooms_per_socket, INT, "100", 1, 65535, 1, "rooms that a socket may be in") \
    X(limits, max_target_rooms, INT, "16", 1, 256, 1,                                         \
      "rooms and sockets that a target may name, and as many behind its except")              \
    X(limits, max_rooms, INT, "1000000", 1, 16777215, 1, "rooms on each shard")               \
    X(limits, max_sockets, INT, "16", 1, 255, 1, "namespaces that a connection may be in")    \
    X(limits, max_namespaces, INT, "10000", 1, 16777215, 1,                                   \
      "namespaces that fit a pattern, on each shard")                                         \
    X(limits, max_auth_size, SIZE, "8KiB", 2, 1048576, 1,                                     \
      "bytes of the auth object of a CONNECT packet")                                         \
    X(limits, max_queue, SIZE, "4MiB", 4096, 1073741824, 1,                                   \
      "bytes that may wait for a slow client before it is closed")                            \
    X(limits, max_queued_total, CEILING, "auto", 1048576, 1125899906842624, 1,                \
      "bytes that may wait for all clients; auto: a quarter of max_memory")                   \
    X(limits, max_asks, INT, "32", 1, 65535, 1,                                               \
      "questions (action ask) that a connection may have open")                               \
    X(limits, max_bad_messages, INT, "16", 0, 255, 1,                                         \
      "bad messages that a client of a json endpoint may send")                               \
    X(limits, max_ack_id, SIZE, "9007199254740991", 0, 9007199254740991, 1,                   \
      "highest ack id that a client may use")                                                 \
    X(limits, rooms_listed, INT, "1000", 1, 100000, 1,                                        \
      "rooms that a watch of the room list shows at most")                                    \
    X(limits, users_listed, INT, "1000", 1, 100000, 1,                                        \
      "users that a list of those who are in a room shows at most")

#define RC_CONF_CEILING_AUTO UINT64_MAX

struct rc_conf_list {
    char **item;
    unsigned n;
};

enum rc_loglevel { RC_LOG_ERROR, RC_LOG_WARN, RC_LOG_INFO, RC_LOG_DEBUG };
enum rc_ackpolicy { RC_ACKPOLICY_AUTO, RC_ACKPOLICY_NONE };
enum rc_unknownevent { RC_UNKNOWNEVENT_IGNORE, RC_UNKNOWNEVENT_DISCONNECT };
enum rc_parser { RC_PARSER_AUTO, RC_PARSER_JSON, RC_PARSER_MSGPACK };
enum rc_authmode { RC_AUTHMODE_OFF, RC_AUTHMODE_OPTIONAL, RC_AUTHMODE_REQUIRED };
enum rc_storeengine { RC_STOREENGINE_NONE, RC_STOREENGINE_SQLITE, RC_STOREENGINE_MARIADB };
enum rc_storetls { RC_STORETLS_OFF, RC_STORETLS_PREFER, RC_STORETLS_REQUIRED };
enum rc_clustermode { RC_CLUSTERMODE_PUBSUB, RC_CLUSTERMODE_STREAMS };
enum rc_ratepolicy { RC_RATEPOLICY_DELAY, RC_RATEPOLICY_DROP, RC_RATEPOLICY_CLOSE };
enum rc_uimode { RC_UIMODE_DEVELOPMENT, RC_UIMODE_PRODUCTION };
enum rc_samesite { RC_SAMESITE_LAX, RC_SAMESITE_STRICT, RC_SAMESITE_NONE, RC_SAMESITE_OFF };

enum rc_conf_section_kind {
    RC_CONF_EVENT,     /* [event NAME], [event /nsp NAME] */
    RC_CONF_CONNECT,   /* [connect], [connect /nsp] */
    RC_CONF_NAMESPACE, /* [namespace /nsp]: declares it */
    RC_CONF_ENDPOINT,  /* [endpoint /path] */
    RC_CONF_ROOM,      /* [room PATTERN], [room /nsp PATTERN] */
    RC_CONF_LISTENER,  /* [listen NAME] */
};

struct rc_conf_entry {
    char *key, *value;
    const char *file; /* or "command line" */
    unsigned line;    /* 0 on the command line */
};

struct rc_conf_section {
    enum rc_conf_section_kind kind;
    char *nsp;  /* "/" when the header named none; the path of an endpoint */
    char *name; /* event name, pattern of rooms or listener, else "" */
    struct rc_conf_entry *entry;
    unsigned nentries;
    const char *file;
    unsigned line; /* of the header */
};

/* Where a key of the table was set. */
struct rc_conf_place {
    const char *file; /* or "command line"; NULL: it has its default */
    unsigned line;    /* 0: none */
    bool bad;         /* what stands there is a fault: the value is still the default */
};

#define RC_CONF_COUNT(section, key, type, def, min, max, reload, help) +1
enum { RC_CONF_NKEYS = 0 RC_CONF_MAP(RC_CONF_COUNT) };
#undef RC_CONF_COUNT

struct rc_conf {
#define RC_CONF_FIELD_BOOL         bool
#define RC_CONF_FIELD_INT          uint32_t
#define RC_CONF_FIELD_AUTO         uint32_t
#define RC_CONF_FIELD_DURATION     uint32_t
#define RC_CONF_FIELD_SIZE         uint64_t
#define RC_CONF_FIELD_POW2         uint32_t
#define RC_CONF_FIELD_STRING       char *
#define RC_CONF_FIELD_EVENTNAME    char *
#define RC_CONF_FIELD_TOKEN        char *
#define RC_CONF_FIELD_PATH         char *
#define RC_CONF_FIELD_FILE         char *
#define RC_CONF_FIELD_DIR          char *
#define RC_CONF_FIELD_LISTEN       struct rc_conf_list
#define RC_CONF_FIELD_TRANSPORTS   struct rc_conf_list
#define RC_CONF_FIELD_ORIGINS      struct rc_conf_list
#define RC_CONF_FIELD_TEXTS        struct rc_conf_list
#define RC_CONF_FIELD_FILES        struct rc_conf_list
#define RC_CONF_FIELD_TOKENS       struct rc_conf_list
#define RC_CONF_FIELD_LOGLEVEL     enum rc_loglevel
#define RC_CONF_FIELD_ACKPOLICY    enum rc_ackpolicy
#define RC_CONF_FIELD_UNKNOWNEVENT enum rc_unknownevent
#define RC_CONF_FIELD_SAMESITE     enum rc_samesite
#define RC_CONF_FIELD_UIMODE       enum rc_uimode
#define RC_CONF_FIELD_PARSER       enum rc_parser
#define RC_CONF_FIELD_AUTHMODE     enum rc_authmode
#define RC_CONF_FIELD_STOREENGINE  enum rc_storeengine
#define RC_CONF_FIELD_STORETLS     enum rc_storetls
#define RC_CONF_FIELD_CLUSTERMODE  enum rc_clustermode
#define RC_CONF_FIELD_RATEPOLICY   enum rc_ratepolicy
#define RC_CONF_FIELD_CEILING      uint64_t
#define RC_CONF_FIELD_NETWORKS     struct rc_conf_list
#define RC_CONF_FIELD(section, key, type, def, min, max, reload, help) \
    RC_CONF_FIELD_##type section##_##key;
    RC_CONF_MAP(RC_CONF_FIELD)
#undef RC_CONF_FIELD
    struct rc_conf_section *section; /* in file order */
    unsigned nsections;
    char *file;                                 /* what was loaded, NULL for defaults only */
    struct rc_conf_place set_at[RC_CONF_NKEYS]; /* in the order of the table */
};

/* Collects faults, all of them at once: "roomcast.ini:12: [socketio] ping_interval = 25 parsecs:
 * expected a duration from 100ms to 24h, such as 25s or 300ms". */
struct rc_conf_errors {
    struct rc_buf text; /* one line each */
    unsigned n;
};
/* Line 0 is left out; control characters in the text are written as \xNN. */
void rc_conf_error(struct rc_conf_errors *e, const char *file, unsigned line, const char *fmt,
                   ...) RC_PRINTF(4, 5);
/* The same about a key of the table: file and line are where it was set, or only the file. */
void rc_conf_fault(struct rc_conf_errors *e, const struct rc_conf *conf, const char *section,
                   const char *key, const char *fmt, ...) RC_PRINTF(5, 6);
/* Where that key was set: its file may be NULL. */
const struct rc_conf_place *rc_conf_where(const struct rc_conf *conf, const char *section,
                                          const char *key);
/* Puts the faults of that file (NULL: none) into the order of its lines; others follow. */
void rc_conf_sort(struct rc_conf_errors *e, const char *file);
/* Could a file be made at that absolute path? MAYBE: who starts the server may have made it so. */
enum rc_try { RC_TRY_GOOD, RC_TRY_MAYBE, RC_TRY_NOT };
enum { RC_TRY_WHY = 512 };
enum rc_try rc_conf_try_folder(const char *file, char why[RC_TRY_WHY]);
/* What an errno means for a file or folder of the configuration, and what to do about it. */
const char *rc_conf_reason(int err, char *text, size_t size);
/* "[event /chat talk]" */
void rc_conf_header_put(const struct rc_conf_section *s, struct rc_buf *to);

/* Defaults, then the file (NULL: none), then each option "section.key=value" of the command
 * line. Returns RC_OK when e->n stayed 0, else RC_EINVAL (or RC_ENOENT: the file cannot be
 * read); conf is valid to free in any case. */
int rc_conf_load(struct rc_conf *conf, const char *file, char *const *options,
                 unsigned noptions, struct rc_conf_errors *e) RC_MUSTCHECK;
/* The same with the text of the file in memory; name (NULL: none) is what faults call it, and
 * its folder is what relative folders in it start from. */
int rc_conf_load_text(struct rc_conf *conf, const char *name, struct rc_str text,
                      char *const *options, unsigned noptions,
                      struct rc_conf_errors *e) RC_MUSTCHECK;
void rc_conf_free(struct rc_conf *conf);

/* conf was read while another one is in effect: what needs a restart is taken over from there, and
 * each such key or section is told in a line of said. Returns how many there are. */
unsigned rc_conf_keep(struct rc_conf *conf, const struct rc_conf *running, struct rc_buf *said);

/* The value types that [endpoint] and [listen] keys share with the table. On a fault they return false and
 * write what was expected. */
bool rc_conf_duration(struct rc_str value, uint32_t min_ms, uint32_t max_ms, uint32_t *ms,
                      struct rc_buf *expected) RC_MUSTCHECK;
bool rc_conf_size(struct rc_str value, uint64_t min, uint64_t max, uint64_t *bytes,
                  struct rc_buf *expected) RC_MUSTCHECK;
/* "host:port", or with_unix "unix:/path". */
bool rc_conf_listen(struct rc_str value, bool with_unix, struct rc_buf *expected) RC_MUSTCHECK;
bool rc_conf_is_unix(struct rc_str value);
bool rc_conf_bool(struct rc_str value, bool *yes, struct rc_buf *expected) RC_MUSTCHECK;
bool rc_conf_parser(struct rc_str value, enum rc_parser *parser,
                    struct rc_buf *expected) RC_MUSTCHECK;
bool rc_conf_authmode(struct rc_str value, enum rc_authmode *mode,
                      struct rc_buf *expected) RC_MUSTCHECK;

/* The items of a list by comma, as in the table. */
void rc_conf_list_parse(struct rc_str value, struct rc_conf_list *list);
void rc_conf_list_free(struct rc_conf_list *list);

/* A whole file, of at most max bytes: 0, or the errno (EFBIG: it is longer). */
int rc_conf_read_file(const char *file, size_t max, struct rc_buf *text);

/* Writes the effective configuration as an INI file that loads to the same. */
void rc_conf_print(const struct rc_conf *conf, FILE *to);
/* The same for who shows it to others: secrets are "********". section: "server", or "event /chat talk"; def: NULL in
 * sections that are lists of entries. */
typedef void rc_conf_each_fn(const char *section, const char *key, struct rc_str value,
                             const char *def, void *arg);
void rc_conf_each(const struct rc_conf *conf, rc_conf_each_fn *fn, void *arg);
/* The table for people: --help, docs/configuration.md (markdown) and roomcast.ini(5) (troff). */
void rc_conf_help(FILE *to);
void rc_conf_markdown(FILE *to);
void rc_conf_man(FILE *to);

#endif /* RC_BASE_CONF_H */
