"""Fifty years of the world's families: a bubble for each country, a slider for the year."""

from bokeh.io import curdoc
from bokeh.layouts import row
from bokeh.models import CheckboxGroup, ColumnDataSource, Div, Label, Slider, Toggle
from bokeh.palettes import Category10
from bokeh.plotting import figure
from bokeh.transform import factor_cmap

from .gapminder import FIRST, LAST, REGIONS, world, year_table

COLORS = Category10[len(REGIONS)]
doc = curdoc()

countries = ColumnDataSource(name="countries")
year = Slider(name="year", title="Year", start=FIRST, end=LAST, value=FIRST, sizing_mode="stretch_width")
play = Toggle(name="play", label="► Play", button_type="success", width=90)
shown = CheckboxGroup(
    name="regions",
    labels=REGIONS,
    active=list(range(len(REGIONS))),
    stylesheets=["\n".join(map("label:nth-of-type({}) input {{ accent-color: {}; }}".format, range(1, 9), COLORS))],
)
summary = Div(name="summary")

plot = figure(
    name="plot",
    height=420,
    sizing_mode="stretch_width",
    x_range=(0.5, 9),
    y_range=(25, 88),
    tools="hover,pan,wheel_zoom,reset",
    tooltips=[
        ("", "@country, @region"),
        ("children", "@fertility{0.0}"),
        ("life", "@life{0} years"),
        ("people", "@population{0.0a}"),
    ],
    x_axis_label="children per woman",
    y_axis_label="life expectancy at birth (years)",
)
backdrop = Label(x=0.7, y=26, text="", text_font_size="90px", text_color="#e1e5eb", level="underlay")
plot.add_layout(backdrop)
plot.scatter(
    "fertility",
    "life",
    size="size",
    source=countries,
    fill_alpha=0.75,
    line_color="white",
    color=factor_cmap("region", COLORS, REGIONS),
)
plot.toolbar.autohide = True


def draw():
    table = year_table(year.value)
    table = table[table.region.isin([REGIONS[index] for index in shown.active])]
    countries.data = dict(table.to_dict(orient="list"))
    backdrop.text = str(year.value)
    if table.empty:
        summary.text = "Choose at least one region."
    else:
        children, life = world(table)
        summary.text = (
            f"<b>{len(table)} countries in {year.value}</b>"
            f"<br>{children:.1f} children per woman<br>{life:.0f} years of life expectancy"
        )


def advance():
    if year.value < LAST:
        year.value += 1
    else:
        play.active = False


job = None


def start_or_stop(attr, old, new):
    global job
    if play.active:
        if year.value == LAST:
            year.value = FIRST
        job = doc.add_periodic_callback(advance, 150)
    else:
        doc.remove_periodic_callback(job)
    play.label = "❚❚ Pause" if play.active else "► Play"


year.on_change("value", lambda attr, old, new: draw())
shown.on_change("active", lambda attr, old, new: draw())
play.on_change("active", start_or_stop)
draw()

doc.add_root(plot)
doc.add_root(row(play, year, name="controls", sizing_mode="stretch_width"))
doc.add_root(shown)
doc.add_root(summary)
doc.title = "Families of the world"
