/**
 * Draws a view: a line with the app's title, its state and a link, and below it the app's own page in a frame.
 * What is going on with the app is said by the page in the frame; this file only gives it room.
 */
import { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import { Places } from './places';
import { HOW_TO_ENABLE, IView, Malformed, readPageMessage, readView, viewUrl } from './tokens';

/** Before the page has told its height, and if it never does: room for a few lines of text. */
const FIRST_HEIGHT = 120;

/** How long a page that has loaded may stay silent until we say that it isn't one of ours. */
const SILENCE_MS = 5000;

const NO_ANSWER = `No answer from bokehmount. Are you still logged in? Is its server extension enabled? If not, ${HOW_TO_ENABLE}.`;

/** States that need no word are absent: the app is there, or another view of it follows. */
const STATE_WORDS: Readonly<Record<string, string>> = {
  starting: 'starting',
  busy: 'kernel busy',
  raised: 'error in the app',
  restarted: 'kernel restarted',
  gone: 'not there',
  missing: 'not running',
  refused: 'refused',
  ended: 'ended',
  lost: 'connection lost, trying again',
  loggedout: 'logged out: log in again'
};

/** Not `safe`: in a notebook that isn't trusted nothing may load a page by itself; its text/html is shown there. */
export function viewFactory(mimeType: string, baseUrl: string): IRenderMime.IRendererFactory {
  const places = new Places();
  return {
    safe: false,
    mimeTypes: [mimeType],
    defaultRank: 0,
    createRenderer: options => new View(options.mimeType, baseUrl, places)
  };
}

class View extends Widget implements IRenderMime.IRenderer {
  constructor(mimeType: string, baseUrl: string, places: Places) {
    super();
    this._mimeType = mimeType;
    this._baseUrl = baseUrl;
    this._places = places;
    this.addClass('bokehmount-View');
  }

  /** The same data again keeps the frame, and so the session and what the user did in it. */
  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const data = model.data[this._mimeType];
    const drawn = JSON.stringify(data);
    if (drawn === this._drawn) {
      return;
    }
    this._drawn = drawn;
    this._forget();
    try {
      this._draw(readView(data));
    } catch (reason) {
      if (!(reason instanceof Malformed)) {
        throw reason;
      }
      this._drawProblem(reason.message);
    }
  }

  handleEvent(event: Event): void {
    if (event.type === 'message') {
      this._onMessage(event as MessageEvent);
    } else if (event.type === 'load') {
      this._onLoad();
    }
  }

  protected override onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    window.addEventListener('message', this);
  }

  protected override onBeforeDetach(msg: Message): void {
    window.removeEventListener('message', this);
    window.clearTimeout(this._silence);
    super.onBeforeDetach(msg);
  }

  /** Who hides an output has not closed its app. A cell that is scrolled away is told the same, but stays in the page. */
  protected override onAfterDetach(msg: Message): void {
    super.onAfterDetach(msg);
    window.clearTimeout(this._hiding);
    this._hiding = window.setTimeout(() => {
      if (!this.node.isConnected && this._session !== null) {
        this._held?.();
        this._held = hold(this._session);
      }
    });
  }

  override dispose(): void {
    if (this._drawn !== undefined && this._session !== null) {
      this._places.leave(this._drawn, this._session);
    }
    this._forget();
    super.dispose();
  }

  private _draw(view: IView): void {
    const url = viewUrl(this._baseUrl, view);

    const title = document.createElement('span');
    title.className = 'bokehmount-View-title';

    const status = document.createElement('span');
    status.className = 'bokehmount-View-status';
    status.setAttribute('role', 'status');
    status.setAttribute('aria-live', 'polite');

    const link = document.createElement('a');
    link.className = 'bokehmount-View-link';
    link.href = url;
    link.target = '_blank';
    link.rel = 'noopener';
    link.textContent = 'Open in a tab';

    const header = document.createElement('div');
    header.className = 'bokehmount-View-header';
    // Enter on the link must follow it; without this the notebook takes the key to edit the cell.
    header.dataset.lmSuppressShortcuts = 'true';
    header.append(title, status, link);

    const frame = document.createElement('iframe');
    frame.className = 'bokehmount-View-frame';
    frame.allow = 'clipboard-write; fullscreen';
    frame.style.width = view.width === null ? '100%' : `${view.width}px`;
    frame.style.height = `${view.height ?? FIRST_HEIGHT}px`;
    frame.addEventListener('load', this);

    this._entitle = words => {
      title.textContent = words;
      link.setAttribute('aria-label', `Open in a tab: ${words}`);
      frame.title = `Bokeh app ${words}`;
    };
    this._title = view.title;
    this._entitle(view.title);
    this._pageTitle = null;
    this._frame = frame;
    this._url = url;
    this.node.replaceChildren(header, frame);
    this._status = status;
    this._followsContent = view.height === null;
  }

  private _drawProblem(problem: string): void {
    const sentence = document.createElement('p');
    sentence.className = 'bokehmount-View-problem';
    sentence.setAttribute('role', 'alert');
    sentence.textContent = `This Bokeh app can't be shown: ${problem}. Run the cell again.`;
    this.node.replaceChildren(sentence);
  }

  /**
   * A browser unloads a frame that is taken out of the page, and loads it anew where it is put in again, with an empty
   * page, since it has no `src`: a `src` could not name the session without staying there. A page of ours may well
   * speak before it has loaded all of itself.
   */
  private _onLoad(): void {
    window.clearTimeout(this._silence);
    if (this._frame && isEmpty(this._frame)) {
      window.clearTimeout(this._opening);
      // not at once: a cell that is moved up is there before the one that it was is closed
      this._opening = window.setTimeout(() => this._open());
      return;
    }
    if (!this._heard) {
      this._silence = window.setTimeout(() => this._say(NO_ANSWER), SILENCE_MS);
    }
    this._heard = false;
  }

  /** Go to the session that was seen here, or to a page that says that it is over; where there was none, to a new one. */
  private _open(): void {
    if (!this._frame || !isEmpty(this._frame)) {
      return;
    }
    this._session ??= this._places.take(this._drawn ?? '') ?? null;
    this._frame.contentWindow?.location.replace(forFrame(this._session ?? this._url));
  }

  private _onMessage(event: MessageEvent): void {
    if (!this._frame || event.source !== this._frame.contentWindow) {
      return;
    }
    const message = event.origin === window.location.origin ? readPageMessage(event.data) : null;
    if (message === null) {
      return;
    }
    this._heard = true;
    window.clearTimeout(this._silence);
    if (message.type === 'page') {
      if (message.session !== this._session) {
        this._pageTitle = null; // what another page is called first says nothing of this one
        this._entitle(this._title);
      }
      this._session = message.session;
      this._letGo();
      return;
    }
    if (message.type === 'title') {
      this._follow(message.title);
      return;
    }
    if (message.type === 'state') {
      this._say(STATE_WORDS[message.state] ?? '');
      return;
    }
    if (this._status?.textContent === NO_ANSWER) {
      this._say('');
    }
    if (this._followsContent) {
      this._frame.style.height = `${message.height}px`;
    }
  }

  /** A page may begin with a title that says less than ours, as a library's; what the app makes of it counts. */
  private _follow(title: string): void {
    if (this._pageTitle !== null && this._pageTitle !== title) {
      this._entitle(title);
    }
    this._pageTitle = title;
  }

  /** Only what is new, since a live region is read out whenever it is written. */
  private _say(words: string): void {
    if (this._status && this._status.textContent !== words) {
      this._status.textContent = words;
    }
  }

  /** The session is seen by its page again, or by nobody any more. */
  private _letGo(): void {
    window.clearTimeout(this._hiding);
    this._held?.();
    this._held = null;
  }

  private _forget(): void {
    this._letGo();
    window.clearTimeout(this._silence);
    window.clearTimeout(this._opening);
    this._frame?.removeEventListener('load', this);
    this._frame = null;
    this._status = null;
    this._session = null;
    this._heard = false;
  }

  private readonly _mimeType: string;
  private readonly _baseUrl: string;
  private readonly _places: Places;
  private _drawn: string | undefined;
  private _frame: HTMLIFrameElement | null = null;
  private _status: HTMLElement | null = null;
  /** Begins a new session. */
  private _url = '';
  /** What its cell calls the view. */
  private _title = '';
  private _entitle: (words: string) => void = () => undefined;
  /** What the page in the frame was called when it was last heard of. */
  private _pageTitle: string | null = null;
  /** Leads to the session that the page in the frame shows; null where it shows none. */
  private _session: string | null = null;
  private _opening = 0;
  private _held: (() => void) | null = null;
  private _hiding = 0;
  private _followsContent = true;
  private _heard = false;
  private _silence = 0;
}

function isEmpty(frame: HTMLIFrameElement): boolean {
  try {
    return frame.contentWindow?.location.href === 'about:blank';
  } catch {
    return false; // a page of another site, or the browser's own that says that ours could not be had
  }
}

/**
 * The address at which a frame may have a page. JupyterHub's servers forbid frames, except where somebody knows the
 * server's XSRF token, as no page of another user on this origin does.
 */
function forFrame(page: string): string {
  const xsrf = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie)?.[1];
  const url = new URL(page, window.location.href);
  if (xsrf !== undefined && url.origin === window.location.origin) {
    url.searchParams.set('_xsrf', xsrf);
  }
  return url.href;
}

/**
 * Looks at a session for a page that is not there now: as long as anybody looks at it, it doesn't end.
 * Returns what lets it go, with a goodbye: for a connection that breaks off, as one that is closed before it is open,
 * the server waits much longer.
 */
function hold(session: string): () => void {
  const url = new URL(session, window.location.href);
  const token = url.searchParams.get('bokeh-token') ?? '';
  url.protocol = url.protocol.replace('http', 'ws');
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/ws`;
  url.search = '';
  const socket = new WebSocket(url, ['bokeh', token]);
  const goodbye = () => socket.close(1000);
  return () =>
    socket.readyState === WebSocket.CONNECTING
      ? socket.addEventListener('open', goodbye)
      : goodbye();
}
