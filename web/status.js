/* status.js - shows how the connection is doing: a line in the header, and a banner when it
 * needs attention. */

import { byId, setText } from './dom.js';
import { latency } from './format.js';

const BANNER_AFTER_MS = 800;
const TRANSPORTS = { websocket: 'WebSocket', polling: 'Polling', webtransport: 'WebTransport' };

const LINES = {
  idle: ['busy', 'Not connected'],
  connecting: ['busy', 'Connecting…'],
  online: ['good', 'Connected'],
  reconnecting: ['busy', 'Reconnecting…'],
  stopped: ['bad', 'Disconnected'],
};

let bannerTimer = 0;

/** status: see connection.js. */
export function showStatus(status) {
  document.body.dataset.phase = status.phase;
  document.querySelectorAll('[data-status]').forEach((node) => showLine(node, status));
  showBanner(status);
}

function showLine(node, { phase, transport, latency: ms, attempt }) {
  const [tone, line] = LINES[phase];
  const text = attempt > 1 ? `${line} (${attempt})` : line;
  const isOnline = phase === 'online';
  const detail = isOnline ? [TRANSPORTS[transport] || transport, ms === null ? '' : latency(ms)] : [];
  node.dataset.tone = tone;
  node.dataset.transport = isOnline ? transport : '';
  setText(node.querySelector('[data-status-text]'), text);
  setText(node.querySelector('[data-status-detail]'), detail.filter(Boolean).join(' · '));
}

/* A connection that is back within a moment is not worth a banner. */
function showBanner(status) {
  const banner = byId('banner');
  clearTimeout(bannerTimer);
  if (status.phase === 'online' || status.phase === 'idle') {
    banner.hidden = true;
    return;
  }
  setText(byId('banner-text'), bannerText(status));
  setText(byId('retry'), status.phase === 'stopped' ? 'Connect' : 'Try now');
  banner.dataset.phase = status.phase;
  if (banner.hidden) bannerTimer = setTimeout(() => { banner.hidden = false; }, BANNER_AFTER_MS);
}

function bannerText({ phase, reason }) {
  if (phase === 'connecting') return 'Connecting to the server…';
  if (phase === 'stopped') {
    return reason === 'io server disconnect'
      ? 'The server has ended this connection.' : `The server did not let us in: ${reason}.`;
  }
  return 'No connection. What you write is sent as soon as it is back.';
}
