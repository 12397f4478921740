/**
 * The shapes that kernels, pages and the Jupyter server send us, checked where they come in, and the URLs made of them.
 * Nothing here touches the DOM or the network.
 */
import { URLExt } from '@jupyterlab/coreutils';

export const VIEW_MIME = 'application/vnd.bokehmount.view.v1+json';

export const HOW_TO_ENABLE =
  "enable it with 'jupyter server extension enable bokehmount' in the environment of the Jupyter server, and restart that server";

/** How many characters of a page's title a view says. */
const LONGEST_TITLE = 200;

/** One place in a notebook that shows a kernel-hosted app. */
export interface IView {
  readonly kernelId: string;
  readonly app: string;
  readonly title: string;
  /** CSS pixels, or null for the width of the output. */
  readonly width: number | null;
  /** CSS pixels, or null to follow the content. */
  readonly height: number | null;
}

/** One app of the Jupyter server (no kernel) or of a kernel, as `api/apps` lists it. */
export interface IApp {
  readonly kernelId: string | null;
  readonly app: string;
  readonly title: string;
  /** Relative to `{baseUrl}bokeh/`. */
  readonly url: string;
  readonly sessions: number;
  readonly views: number;
}

/** What the page in a frame tells the notebook around it. */
export type PageMessage =
  | { readonly type: 'page'; readonly session: string | null }
  | { readonly type: 'size'; readonly height: number }
  | { readonly type: 'state'; readonly state: string }
  | { readonly type: 'title'; readonly title: string };

/** Says in a sentence, meant for the user, what is wrong with data that came in. */
export class Malformed extends Error {}

export function readView(data: unknown): IView {
  if (!isObject(data)) {
    throw new Malformed('its data is not an object');
  }
  const { kernel_id, app, title } = data;
  if (typeof kernel_id !== 'string' || !isSegment(kernel_id)) {
    throw new Malformed('its kernel_id is not the id of a kernel');
  }
  if (typeof app !== 'string' || !isAppPath(app)) {
    throw new Malformed("its app is not a path like '/sliders'");
  }
  return {
    kernelId: kernel_id,
    app,
    title: typeof title === 'string' && title ? title : app,
    width: readPixels(data.width, 'width'),
    height: readPixels(data.height, 'height')
  };
}

export function readApps(data: unknown): IApp[] {
  if (!isObject(data) || !Array.isArray(data.apps)) {
    throw new Malformed('the list of Bokeh apps has no apps in it');
  }
  return data.apps.map((entry: unknown) => {
    if (!isObject(entry) || typeof entry.app !== 'string' || typeof entry.url !== 'string') {
      throw new Malformed('the list of Bokeh apps has an entry without app or url');
    }
    return {
      kernelId: typeof entry.kernel_id === 'string' ? entry.kernel_id : null,
      app: entry.app,
      title: typeof entry.title === 'string' && entry.title ? entry.title : entry.app,
      url: entry.url,
      sessions: Number(entry.sessions) || 0,
      views: Number(entry.views) || 0
    };
  });
}

/** Null for what isn't ours: any script of the page may post messages. */
export function readPageMessage(data: unknown): PageMessage | null {
  if (!isObject(data)) {
    return null;
  }
  if (data.type === 'bokehmount:size' && isFiniteNumber(data.height)) {
    return { type: 'size', height: Math.min(Math.max(Math.ceil(data.height), 20), 20000) };
  }
  if (data.type === 'bokehmount:page' && (data.session === null || isOwnPath(data.session))) {
    return { type: 'page', session: data.session };
  }
  if (data.type === 'bokehmount:state' && typeof data.state === 'string') {
    return { type: 'state', state: data.state };
  }
  if (data.type === 'bokehmount:title' && typeof data.title === 'string' && data.title) {
    return { type: 'title', title: data.title.slice(0, LONGEST_TITLE) };
  }
  return null;
}

export function viewUrl(baseUrl: string, view: IView): string {
  return URLExt.join(
    baseUrl,
    'bokeh/kernels',
    encodeURIComponent(view.kernelId),
    encodePath(view.app)
  );
}

export function appUrl(baseUrl: string, app: IApp): string {
  return URLExt.join(baseUrl, 'bokeh', app.url);
}

export function appsApiUrl(baseUrl: string): string {
  return URLExt.join(baseUrl, 'bokeh/api/apps');
}

/** Where a DELETE ends that app; only a kernel-hosted one has such a place. */
export function endAppUrl(baseUrl: string, kernelId: string, app: string): string {
  return URLExt.join(
    baseUrl,
    'bokeh/api/kernels',
    encodeURIComponent(kernelId),
    'apps',
    encodePath(app)
  );
}

function isObject(data: unknown): data is Record<string, unknown> {
  return typeof data === 'object' && data !== null && !Array.isArray(data);
}

function isFiniteNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

/** A path of this server, and so neither another site nor a script. */
function isOwnPath(value: unknown): value is string {
  return typeof value === 'string' && /^\/(?![/\\])/.test(value);
}

function readPixels(value: unknown, name: string): number | null {
  if (value === null || value === undefined) {
    return null;
  }
  if (!isFiniteNumber(value) || value <= 0) {
    throw new Malformed(`its ${name} is not a number of pixels`);
  }
  return value;
}

/** Dots would be resolved, and the URL would lead somewhere else than to this kernel's apps. */
function isSegment(segment: string): boolean {
  return segment !== '' && segment !== '.' && segment !== '..';
}

function isAppPath(app: string): boolean {
  return app === '/' || (app.startsWith('/') && app.slice(1).split('/').every(isSegment));
}

function encodePath(app: string): string {
  return app.split('/').map(encodeURIComponent).join('/');
}
