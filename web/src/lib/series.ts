/** The last `length` values of a figure, oldest first; for sparklines and live charts. */
export class Series {
  private readonly values: Float64Array;
  private next = 0;
  private filled = 0;

  constructor(readonly length: number) {
    this.values = new Float64Array(length);
  }

  /** Second (Unix time) of the newest value, of a series that is filled by the second. */
  private newest = 0;

  /** Puts a value at its second: what is not newer is known already, and what was missed in between is none. */
  pushAt(second: number, value: number): void {
    if (second <= this.newest) return;
    const missed = this.newest === 0 ? 0 : Math.min(second - this.newest - 1, this.length);
    for (let at = 0; at < missed; at += 1) this.push(0);
    this.push(value);
    this.newest = second;
  }

  push(value: number): void {
    this.values[this.next] = value;
    this.next = (this.next + 1) % this.length;
    this.filled = Math.min(this.filled + 1, this.length);
  }

  get size(): number {
    return this.filled;
  }

  at(index: number): number {
    const start = this.filled < this.length ? 0 : this.next;
    return this.values[(start + index) % this.length] ?? 0;
  }

  get last(): number {
    return this.filled === 0 ? 0 : this.at(this.filled - 1);
  }

  toArray(): number[] {
    return Array.from({ length: this.filled }, (_, index) => this.at(index));
  }

  max(): number {
    let max = 0;
    for (let index = 0; index < this.filled; index += 1) max = Math.max(max, this.at(index));
    return max;
  }
}
