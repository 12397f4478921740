/**
 * Remembers, for a moment, what the views that were closed had shown: a notebook moves a cell by closing it and making a
 * new one of the same content, whose view goes on where the closed one was.
 */

/** About as long as a session outlives its page; after that a view finds nothing that it could go on with. */
const KEPT_MS = 15000;

interface IPlace {
  readonly output: string;
  readonly address: string;
}

export class Places {
  /** A view of this output is closed; at this address its session is found. */
  leave(output: string, address: string): void {
    const place = { output, address };
    this._left.push(place);
    window.setTimeout(() => this._remove(place), KEPT_MS);
  }

  /** Where the view of this output was that has been closed for longest; undefined where none was. One view goes on with it. */
  take(output: string): string | undefined {
    const place = this._left.find(left => left.output === output);
    if (place) {
      this._remove(place);
    }
    return place?.address;
  }

  private _remove(place: IPlace): void {
    this._left = this._left.filter(left => left !== place);
  }

  private _left: IPlace[] = [];
}
