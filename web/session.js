/* session.js - who this visitor is: signed in with a token, or a guest. Tokens come from the
 * development endpoint whose path index.html names, if the server has one. They are this tab's
 * own, so that two tabs can be two people. */

import { loadSession, saveSession, loadChoice, saveChoice, loadName, saveName } from './store.js';

const FRESH_MS = 10 * 1000; /* a token that ends sooner is as good as none */
const REFRESH_AT = 0.75; /* of its lifetime */
const RETRY_MS = 15 * 1000;
const TIMER_MAX_MS = 2 ** 31 - 1;

/** path: of the endpoint, or ''. onToken(token): a new one for a session that goes on. */
export function createSession(path, { onToken }) {
  const session = { name: loadName(), user: '', canSignIn: Boolean(path) };
  let ticket = path ? loadSession() : null; /* { token, user, expires, until } */
  let timer = 0;

  const isFresh = () => Boolean(ticket) && ticket.until - Date.now() > FRESH_MS;

  function use(next) {
    ticket = next;
    session.user = ticket ? ticket.user : '';
    if (ticket) session.name = ticket.user;
    saveSession(ticket);
    clearTimeout(timer);
    if (ticket) refreshIn((ticket.until - Date.now()) * REFRESH_AT);
  }

  function refreshIn(ms) {
    timer = setTimeout(refresh, Math.min(Math.max(ms, 1000), TIMER_MAX_MS));
  }

  async function refresh() {
    try {
      await renew();
      onToken(ticket.token);
    } catch (error) {
      refreshIn(RETRY_MS);
    }
  }

  async function renew() {
    use(await fetchTicket(path, session.user));
  }

  session.signIn = async (name) => {
    use(await fetchTicket(path, name));
    saveName(session.name);
    saveChoice('user');
  };

  session.beGuest = (name) => {
    use(null);
    session.name = saveName(name);
    saveChoice('guest');
  };

  /** True when the visitor has to be asked first. */
  session.resume = () => {
    if (isFresh()) use(ticket);
    else if (ticket) session.name = ticket.user;
    if (ticket || (path && loadChoice() === 'user')) session.user = session.name;
    return Boolean(path) && !session.user && loadChoice() === null;
  };

  /** What the server is told on each connect. */
  session.auth = async () => {
    if (session.user && !isFresh()) await renew();
    return session.user ? { name: session.name, token: ticket.token } : { name: session.name };
  };

  session.isFresh = isFresh;

  /** Forgets the token, so that auth() gets another. */
  session.expire = () => { ticket = null; };

  return session;
}

async function fetchTicket(path, name) {
  const response = await fetch(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ name }),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok || typeof answer.token !== 'string') {
    throw new Error(answer.message || `the server answered ${response.status}`);
  }
  const { token, user, expires } = answer;
  return { token, user, until: ownTime(expires, response.headers.get('Date')) };
}

/* The server's clock may not be ours. */
function ownTime(expires, serverDate) {
  const now = Date.parse(serverDate);
  return Number.isNaN(now) ? expires : expires - now + Date.now();
}
