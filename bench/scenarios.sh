# scenarios.sh - what is measured, as options of bench/load. Sourced by run.sh.
# shellcheck shell=bash disable=SC2034 # used by run.sh

# In the order of the report.
scenarios='fanout-1x1000@20 fanout-1x1000@100 closed1 closed16 rooms-1000x10 chat-100x50-256B
           big-16k-200 echo-1 echo-100 polling-fanout hop stall-none stall-one churn idle-19000'

# load options of a scenario, without server and times
scenario_options() {
    case $1 in
    fanout-1x1000@20)  echo --members 1000 --rate 20 ;;
    fanout-1x1000@100) echo --members 1000 --rate 100 ;;
    closed1)           echo --members 1000 --outstanding 1 ;;
    closed16)          echo --members 1000 --outstanding 16 ;;
    rooms-1000x10)     echo --rooms 1000 --members 10 --outstanding 1 ;;
    chat-100x50-256B)  echo --rooms 100 --members 50 --senders 50 --size 256 --rate 500 ;;
    big-16k-200)       echo --members 200 --size 16384 --outstanding 4 ;;
    echo-1)            echo --echo --members 1 --outstanding 1 ;;
    echo-100)          echo --echo --members 100 --outstanding 1 ;;
    polling-fanout)    echo --members 200 --rate 20 ;;
    hop)               echo --rooms 100 --members 2 --rate 500 ;;
    stall-none)        echo --members 1000 --size 4096 --rate 40 --duration 2.5 ;;
    stall-one)         echo --members 1000 --size 4096 --rate 40 --duration 2.5 --stalled 1 ;;
    churn)             echo --churn 500 --rooms 100 --members 10 ;;
    idle-19000)        echo --idle 19000 --members 10 --settle 1 --setup 120 --duration 0.5 ;;
    *) return 1 ;;
    esac
}

scenario_title() {
    case $1 in
    fanout-1x1000@20)  echo '1 room × 1,000 members, 64 B, 20 messages/s' ;;
    fanout-1x1000@100) echo '1 room × 1,000 members, 64 B, 100 messages/s' ;;
    closed1)           echo '1 room × 1,000 members, 64 B, closed loop, 1 outstanding' ;;
    closed16)          echo '1 room × 1,000 members, 64 B, closed loop, 16 outstanding' ;;
    rooms-1000x10)     echo '1,000 rooms × 10 members, 64 B, closed loop, 1 outstanding each' ;;
    chat-100x50-256B)  echo '100 rooms × 50 members who all talk, 256 B, 500 messages/s' ;;
    big-16k-200)       echo '1 room × 200 members, 16 KiB, closed loop, 4 outstanding' ;;
    echo-1)            echo 'plain WebSocket echo, 1 connection, 64 B' ;;
    echo-100)          echo 'plain WebSocket echo, 100 connections, 64 B' ;;
    polling-fanout)    echo '1 room × 200 members over HTTP long-polling, 64 B, 20 messages/s' ;;
    hop)               echo '100 rooms × 2 members, 64 B, 500 messages/s: the way between two shards' ;;
    stall-none)        echo '1 room × 1,000 members, 4 KiB, 40 messages/s' ;;
    stall-one)         echo 'the same, one of the members never reads; at most 256 KiB may wait for it' ;;
    churn)             echo '500 connections/s: connect, join, leave' ;;
    idle-19000)        echo '19,000 idle connections in rooms of 10' ;;
    esac
}

# Which table a scenario has: cpu (per delivery), open (the same, with too little to do for a
# verdict on CPU), stall or idle (memory).
scenario_kind() {
    case $1 in
    idle-*)  echo idle ;;
    stall-*) echo stall ;;
    hop)     echo open ;;
    *)       echo cpu ;;
    esac
}

# How many rounds a pair takes part in: what is far away needs fewer, what is slow too.
pair_rounds() {
    case $1:$2 in
    *:socketio | *:ws | *:nchan) echo 3 ;;
    idle-*:* | stall-*:*)        echo 3 ;;
    *)                           echo 100 ;;
    esac
}

# Options of roomcast for one scenario.
roomcast_options() {
    case $1 in
    stall-*) echo -o limits.max_queue=256KiB ;;
    esac
}

# protocol_options SCENARIO SERVER: the options that make a server do a scenario; status 1: this pair
# is left out, because socketio and ws can't do 100 messages/s to 1,000 members; ws and nchan have
# no polling, nor the floor but in one form; hop and stall-* are about roomcast's own design.
protocol_options() {
    case $2:$1 in
    socketio:*@100 | ws:*@100 | socketio:echo-* | nchan:echo-*) return 1 ;;
    floor-*:polling-* | ws:polling-* | nchan:polling-*) return 1 ;;
    socketio:hop | ws:hop | nchan:hop)                 return 1 ;;
    socketio:stall-* | ws:stall-* | nchan:stall-*)     return 1 ;;
    *:polling-*)     echo --proto poll ;;
    floor*:*)        echo --proto floor ;;
    *:echo-*)        echo --proto ws --path /echo ;;
    ws:* | nchan:*)  echo --proto ws --path '/room/{room}' ;;
    *)               echo --proto sio ;;
    esac
}
