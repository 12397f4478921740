/** The section "Bokeh apps" of the Running panel: asks the Jupyter server what runs while somebody looks at the panel. */
import { Notification } from '@jupyterlab/apputils';
import { IRunningSessions } from '@jupyterlab/running';
import { ServerConnection } from '@jupyterlab/services';
import { LabIcon } from '@jupyterlab/ui-components';
import { Poll } from '@lumino/polling';
import { Signal } from '@lumino/signaling';
import { appsApiUrl, appUrl, endAppUrl, HOW_TO_ENABLE, IApp, readApps } from './tokens';

const INTERVAL_MS = 5000;

const appIcon = new LabIcon({
  name: 'bokehmount:app',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">' +
    '<path class="jp-icon3" fill="#616161" d="M4 20V10h4v10zm6 0V4h4v16zm6 0v-7h4v7z"/></svg>'
});

export class RunningApps implements IRunningSessions.IManager {
  constructor(private readonly _settings: ServerConnection.ISettings) {
    this._poll = new Poll({
      name: 'bokehmount:apps',
      factory: () => this._fetch(),
      frequency: { interval: INTERVAL_MS, backoff: true, max: 60_000 },
      standby: () => document.hidden || !isPanelVisible()
    });
  }

  readonly name = 'Bokeh apps';
  readonly supportsMultipleViews = false;
  readonly shutdownLabel = 'End this app';
  readonly shutdownAllLabel = 'End All';
  readonly shutdownAllConfirmationText =
    'End all Bokeh apps of all kernels? Their sessions are lost; the kernels keep running.';
  readonly runningChanged = new Signal<this, void>(this);

  /** Also called when the panel is about to be shown, so that it doesn't open with an old list. */
  running(): IRunningSessions.IRunningItem[] {
    if (Date.now() - this._asked >= INTERVAL_MS) {
      this.refreshRunning();
    }
    return this._apps.map(app => this._item(app));
  }

  refreshRunning(): void {
    void this._poll.refresh();
  }

  shutdownAll(): void {
    const inKernels = this._apps.filter(({ kernelId }) => kernelId !== null);
    for (const { kernelId, app } of inKernels) {
      void this._end(String(kernelId), app);
    }
    if (inKernels.length === 0) {
      Notification.info("Only the Jupyter server's own Bokeh apps run; they end with the server.");
    }
  }

  private _item({ kernelId, ...app }: IApp): IRunningSessions.IRunningItem {
    const url = appUrl(this._settings.baseUrl, { kernelId, ...app });
    return {
      icon: () => appIcon,
      label: () => app.title,
      labelTitle: () =>
        `${app.title} at ${app.app}, hosted by ${kernelId === null ? 'the Jupyter server' : `kernel ${kernelId}`}`,
      detail: () => `${count(app.sessions, 'session')}, ${count(app.views, 'view')}`,
      open: () => void window.open(url, '_blank', 'noopener'),
      ...(kernelId !== null && { shutdown: () => void this._end(kernelId, app.app) })
    };
  }

  private async _fetch(): Promise<void> {
    this._asked = Date.now();
    const url = appsApiUrl(this._settings.baseUrl);
    const response = await ServerConnection.makeRequest(url, {}, this._settings);
    if (response.status === 404) {
      this._show([]);
      this._warnOnce();
      void this._poll.stop();
    } else if (response.ok) {
      this._show(readApps(await response.json()));
    } else {
      throw new ServerConnection.ResponseError(response);
    }
  }

  private async _end(kernelId: string, app: string): Promise<void> {
    const url = endAppUrl(this._settings.baseUrl, kernelId, app);
    try {
      const response = await ServerConnection.makeRequest(
        url,
        { method: 'DELETE' },
        this._settings
      );
      if (response.status === 202) {
        const { message } = await response.json();
        Notification.info(message);
      }
      // It has ended by itself: what the user wanted.
      if (!response.ok && response.status !== 404) {
        this._sayNotEnded(app, response.statusText || `the server answered ${response.status}`);
      }
    } catch (reason) {
      this._sayNotEnded(app, "the Jupyter server can't be reached");
      console.warn(reason);
    }
    this.refreshRunning();
  }

  private _sayNotEnded(app: string, why: string): void {
    Notification.error(`The Bokeh app ${app} could not be ended: ${why}.`);
  }

  private _show(apps: IApp[]): void {
    this._apps = apps;
    this.runningChanged.emit();
  }

  private _warnOnce(): void {
    if (!this._warned) {
      this._warned = true;
      console.warn(`The bokehmount server extension isn't enabled: ${HOW_TO_ENABLE}.`);
    }
  }

  private readonly _poll: Poll;
  private _apps: IApp[] = [];
  private _asked = 0;
  private _warned = false;
}

/** By class, not by id: sections can be moved to another sidebar, and the search dialog has its own. */
function isPanelVisible(): boolean {
  const sections = document.querySelectorAll<HTMLElement>('.jp-RunningSessions-section');
  return Array.from(sections).some(section => section.offsetParent !== null);
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
