/** Connects the view, the Running section and the command to JupyterLab or Jupyter Notebook; decides nothing itself. */
import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { IRunningSessionManagers } from '@jupyterlab/running';
import { RunningApps } from './running';
import { VIEW_MIME } from './tokens';
import { viewFactory } from './view';

const OPEN_IN_TAB = 'bokehmount:open-in-tab';

const view: JupyterFrontEndPlugin<void> = {
  id: 'bokehmount:view',
  description: 'Draws a live Bokeh app in the output of a cell.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  activate: (app: JupyterFrontEnd, rendermime: IRenderMimeRegistry) => {
    rendermime.addFactory(viewFactory(VIEW_MIME, app.serviceManager.serverSettings.baseUrl));
  }
};

const running: JupyterFrontEndPlugin<void> = {
  id: 'bokehmount:running',
  description: 'Lists Bokeh apps in the Running panel.',
  autoStart: true,
  optional: [IRunningSessionManagers],
  activate: (app: JupyterFrontEnd, managers: IRunningSessionManagers | null) => {
    managers?.add(new RunningApps(app.serviceManager.serverSettings));
  }
};

const commands: JupyterFrontEndPlugin<void> = {
  id: 'bokehmount:commands',
  description: 'Opens the Bokeh app of the active cell in a browser tab.',
  autoStart: true,
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, palette: ICommandPalette | null) => {
    app.commands.addCommand(OPEN_IN_TAB, {
      label: 'Open the Bokeh App of This Cell in a Tab',
      isEnabled: () => activeLink(app) !== null,
      execute: () => activeLink(app)?.click()
    });
    palette?.addItem({ command: OPEN_IN_TAB, category: 'Bokeh' });
  }
};

/** The link of the active cell's view, or of the only view there is, as in "Create New View for Output". */
function activeLink({ shell }: JupyterFrontEnd): HTMLAnchorElement | null {
  const links =
    shell.currentWidget?.node.querySelectorAll<HTMLAnchorElement>('.bokehmount-View-link') ?? [];
  const all = Array.from(links);
  const active = all.find(link => link.closest('.jp-Cell.jp-mod-active'));
  return active ?? (all.length === 1 ? all[0] : undefined) ?? null;
}

export default [view, running, commands];
