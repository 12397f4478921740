"""A model with a view of its own, in TypeScript, which Bokeh compiles when a page needs it."""

from __future__ import annotations

from bokeh.core.properties import Int, String
from bokeh.io import curdoc
from bokeh.models.ui import UIElement
from bokeh.models.widgets import Div
from bokeh.util.compiler import TypeScript

CODE = """
import {UIElement, UIElementView} from "models/ui/ui_element"
import type * as p from "core/properties"

export class TallyView extends UIElementView {
  declare model: Tally

  override connect_signals(): void {
    super.connect_signals()
    this.connect(this.model.change, () => this.rerender())
  }

  override render(): void {
    super.render()
    const button = document.createElement("button")
    button.textContent = `${this.model.label}: ${this.model.count}`
    button.addEventListener("click", () => { this.model.count += 1 })
    this.shadow_el.append(button)
  }
}

export namespace Tally {
  export type Attrs = p.AttrsOf<Props>
  export type Props = UIElement.Props & {label: p.Property<string>, count: p.Property<number>}
}

export interface Tally extends Tally.Attrs {}

export class Tally extends UIElement {
  declare properties: Tally.Props
  declare __view_type__: TallyView

  static {
    this.prototype.default_view = TallyView
    this.define<Tally.Props>(({Int, Str}) => ({label: [Str, ""], count: [Int, 0]}))
  }
}
"""


class Tally(UIElement):
    """Counts clicks."""

    __implementation__ = TypeScript(CODE)

    label = String()
    count = Int()


tally = Tally(label="apples", count=1, name="tally")
told = Div(text="", name="told")


def counted(attr: str, old: int, new: int) -> None:
    """Rename what is counted."""
    told.text = f"python saw {new}"
    tally.label = "pears" if new % 2 == 0 else "apples"  # type: ignore[assignment]  # declared as its property


tally.on_change("count", counted)
curdoc().add_root(tally)
curdoc().add_root(told)
