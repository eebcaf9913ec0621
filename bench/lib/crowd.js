/**
 * A process of its own, so that what a crowd costs its clients is no part of a figure: `node crowd.js URL SENDERS OPEN`. Holds OPEN connections to
 * a node on which one request was answered, and SENDERS on which a request comes at a crawl: half of them its headers, half its body. Those that
 * the node closes come back. Prints "there" once all are there; then, each second, how many are and how many were closed so far.
 */
import { connect } from 'node:net';
import { setInterval } from 'node:timers';

const [url, senders, open] = process.argv.slice(2);
const { hostname, port, host } = new URL(url);

/** So many at a time are being opened: a listener's queue is short. */
const openingMax = 100;
const crawlMs = 1000;
/** Not all in the same moment, as no crowd does. */
const comeBackMsMax = 5000;

const idle = {
  hello: `GET /livez HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
  more: undefined,
};
const slowHead = { hello: `PUT /v1/kv/crowd HTTP/1.1\r\nHost: ${host}\r\nX-Slow: `, more: 'x' };
const slowBody = {
  hello: `PUT /v1/kv/crowd HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 100000\r\n\r\n`,
  more: 'x',
};

const there = new Set();
let [closed, opening] = [0, 0];
const waiting = [];

function come(kind) {
  if (opening >= openingMax) return void waiting.push(kind);
  opening += 1;
  const socket = connect({ host: hostname, port: Number(port) });
  let counted = true;
  const settled = () => {
    if (!counted) return;
    counted = false;
    opening -= 1;
    const next = waiting.shift();
    if (next !== undefined) come(next);
  };
  socket.once('connect', () => {
    settled();
    there.add(socket);
    socket.write(kind.hello);
  });
  socket.kind = kind;
  socket.resume();
  socket.on('error', () => undefined);
  socket.once('close', () => {
    settled();
    there.delete(socket);
    closed += 1;
    setTimeout(() => come(kind), Math.random() * comeBackMsMax);
  });
}

for (let i = 0; i < Number(open); i += 1) come(idle);
for (let i = 0; i < Number(senders); i += 1) {
  setTimeout(() => come(i % 2 === 0 ? slowHead : slowBody), Math.random() * comeBackMsMax);
}

let isSaid = false;
// Spread over the second: each sends a byte in each.
let turn = 0;
const turns = 20;
setInterval(() => {
  turn = (turn + 1) % turns;
  let number = 0;
  for (const socket of there) {
    number += 1;
    if (socket.kind.more !== undefined && number % turns === turn) socket.write(socket.kind.more);
  }
}, crawlMs / turns);
setInterval(() => {
  // All but the few that are about to come back.
  if (!isSaid && there.size >= 0.98 * (Number(open) + Number(senders))) {
    isSaid = true;
    console.log('there');
  }
  if (isSaid) console.log(JSON.stringify({ there: there.size, closed }));
}, 1000);
