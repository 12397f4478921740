"""The app's data: one table per year, from the Gapminder tables of `bokeh_sampledata`."""

import numpy as np
from bokeh.sampledata.gapminder import fertility, life_expectancy, population, regions

FIRST, LAST = 1964, 2013
REGIONS = sorted(regions.Group.dropna().unique())
LARGEST_BUBBLE = 80  # pixels across, for the most populous country


def year_table(year):
    """The countries that have all figures for this year, the largest first, so that small bubbles lie on top."""
    column = str(year)
    table = regions[["Group"]].rename(columns={"Group": "region"})
    table = table.assign(fertility=fertility[column], life=life_expectancy[column], population=population[column])
    table = table.dropna().sort_values("population", ascending=False)
    size = LARGEST_BUBBLE * np.sqrt(table.population / population.max().max())
    return table.assign(size=size.clip(lower=5)).rename_axis("country").reset_index()


def world(table):
    """The mean number of children and the mean life expectancy, weighted by population."""
    return (np.average(table.fertility, weights=table.population), np.average(table.life, weights=table.population))
