# scenarios.sh - what is measured, as options of bench/load. Sourced by run.sh.
# shellcheck shell=bash disable=SC2034 # used by run.sh

# In the order of the report.
scenarios='fanout-1x1000@20 fanout-1x1000@100 closed1 closed16 rooms-1000x10 chat-100x50-256B
           big-16k-200 echo-1 echo-100 polling-fanout idle-19000 churn'

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
    idle-19000)        echo --idle 19000 --members 10 --settle 1 --setup 120 ;;
    churn)             echo --churn 500 --rooms 100 --members 10 ;;
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
    idle-19000)        echo '19,000 idle connections in rooms of 10' ;;
    churn)             echo '500 connections/s: connect, join, leave' ;;
    esac
}

# What the main figure of a scenario is: cpu (per delivery, or per join) or idle (memory).
scenario_kind() {
    case $1 in
    idle-*) echo idle ;;
    *)      echo cpu ;;
    esac
}

# The protocol options that make a server do a scenario; status 1: this pair is left out.
# socketio is left out at 100 messages/s, which is more than it can do, and where its plain
# WebSocket peer ws stands for it.
protocol_options() {
    case $2:$1 in
    echo-*:floor*)    echo --proto floor ;;
    echo-*:roomcast*) echo --proto ws --path /echo ;;
    echo-*:ws)        echo --proto ws --path /echo ;;
    echo-*:*)         return 1 ;;
    *:ws)             return 1 ;;
    polling-*:floor*) return 1 ;;
    polling-*:*)      echo --proto poll ;;
    *@100:socketio)   return 1 ;;
    *:floor*)         echo --proto floor ;;
    *)                echo --proto sio ;;
    esac
}
