// What the events of a room with presence say.
import assert from 'node:assert/strict';

// The users that are there after those in the box, the last count, and how many events it took. Each is a change.
export function follow(box, room) {
  const there = new Set();
  let count = 0;
  let events = 0;
  for (const [name, e] of box) {
    if (name !== 'presence' || e.room !== room) continue;
    events++;
    for (const user of e.joined) assert.ok(!there.has(user) && there.add(user), `${user} joined twice`);
    for (const user of e.left) assert.ok(there.delete(user), `${user} left without having joined`);
    assert.ok(e.joined.length + e.left.length > 0);
    count = e.count;
  }
  return { users: [...there].sort(), count, events };
}
