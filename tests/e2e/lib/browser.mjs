// Headless Chromium for the tests of pages.
//
// CHROMIUM              the executable (default /usr/bin/chromium)
// ROOMCAST_ARTIFACTS    folder for screenshots (default build/artifacts)
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { chromium } from 'playwright-core';

import { top } from './daemon.mjs';

const ARGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ARGS,
    timeout: 60_000,
  });
}

// The path at which to keep a screenshot.
export function artifact(name) {
  const dir = resolve(top, process.env.ROOMCAST_ARTIFACTS || 'build/artifacts');
  mkdirSync(dir, { recursive: true });
  return join(dir, name);
}

// A page in a context of its own (as another visitor). faults collects what went wrong in it:
// uncaught exceptions and console errors.
export async function newPage(browser, options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const faults = [];
  page.on('pageerror', (e) => faults.push(`exception: ${e.message}`));
  page.on('console', (m) => m.type() === 'error' && faults.push(`console: ${m.text()}`));
  page.setDefaultTimeout(20_000);
  return { page, context, faults };
}
