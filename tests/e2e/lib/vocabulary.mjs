// The event rules that most tests share.
export const RULES = `
[namespace /empty]

[connect /greet]
join = lobby
emit = sender: welcome {"id":{id},"name":{auth.name}}
emit = room lobby except sender: arrived {id}

[event join]
join = {1}

[event leave]
leave = {1}

[event say]
emit = room {1}: said {2..}

[event tell]
emit = room {1} except sender: said {2..}

[event sayMember]
require = member {1}
emit = room {1}: said {2..}

[event shout]
emit = all: shouted {args}

[event shoutOthers]
emit = all except sender: shouted {args}

[event whisper]
emit = socket {1}: whispered {2..}

[event echo]
emit = sender: echo {args}

[event ask]
ack = {args}

[event askEcho]
emit = sender: echo {args}
ack = {"ok":true,"first":{1}}

[event silent]
ack = none

[event bye]
disconnect = namespace

[event hangup]
disconnect = connection

[event /chat join]
join = {1}

[event /chat say]
emit = room {1}: said {2..}

[event /chat shout]
emit = all: shouted {args}

[event /chat echo]
emit = sender: echo {args}

[event /chat ask]
ack = {args}
`;
