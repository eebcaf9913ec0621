/** A real browser, where the machine has one. */
import { existsSync } from 'node:fs';
import { chromium, type Browser } from 'playwright-core';

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const executable = process.env['CHROMIUM'] ?? places.find((path) => existsSync(path));

/** Why there is none; undefined when there is one. */
export function browserMissing(): string | undefined {
  return executable === undefined
    ? `no Chromium is installed (looked for ${places.join(', ')} and $CHROMIUM)`
    : undefined;
}

export function openBrowser(): Promise<Browser> {
  // Its sandbox needs rights that a container has not; it sees nothing but our own page.
  return chromium.launch({ executablePath: executable ?? '', args: ['--no-sandbox', '--disable-gpu'] });
}
