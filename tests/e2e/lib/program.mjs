// A server program of a test's own: redis-server, mariadbd. What it needs else is its class's matter.
import { spawn } from 'node:child_process';

const running = new Set();
process.prependListener('exit', () => {
  for (const child of running) child.kill('SIGKILL'); // before tempDir() removes their folders
});

export class Program {
  child = null;

  // Returns the process, which is not ready yet.
  launch(program, args) {
    const child = spawn(program, args.map(String), { stdio: 'ignore' });
    running.add(child);
    this.child = child;
    this.end = new Promise((done) => child.once('close', done).once('error', done));
    this.end.then(() => running.delete(child));
    return child;
  }

  async _end(signal) {
    this.child?.kill('SIGCONT');
    this.child?.kill(signal);
    await this.end;
    this.child = null;
  }

  stop() {
    return this._end('SIGTERM');
  }

  kill() {
    return this._end('SIGKILL');
  }

  pause() {
    this.child.kill('SIGSTOP');
  }

  resume() {
    this.child.kill('SIGCONT');
  }
}
