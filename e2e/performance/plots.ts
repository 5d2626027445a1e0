// SPDX-License-Identifier: Apache-2.0
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Resvg } from "@resvg/resvg-js";
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";

/** One line of a plot. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** A plot in the manner of the LightVM paper: something against the number of guests. */
export interface Plot {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  /** Spread the y axis by factors, not by differences. */
  readonly logarithmic: boolean;
  readonly series: readonly Series[];
}

const WIDTH = 640;
const HEIGHT = 400;
/** Pixels of the PNG for each of the SVG. */
const ZOOM = 2;

function specification({ logarithmic, series, title, x, y }: Plot): TopLevelSpec {
  const values = series.flatMap(({ name, points }) =>
    points.map(([along, up]) => ({ name, along, up })),
  );
  return {
    title,
    width: WIDTH,
    height: HEIGHT,
    background: "white",
    data: { values },
    mark: { type: "line", point: series.every(({ points }) => points.length < 50) },
    encoding: {
      x: { field: "along", type: "quantitative", title: x },
      y: {
        field: "up",
        type: "quantitative",
        title: y,
        scale: logarithmic ? { type: "log" } : { type: "linear", zero: true },
      },
      color: { field: "name", type: "nominal", title: null, sort: series.map(({ name }) => name) },
    },
  };
}

/** Writes `<name>.svg` and `<name>.png` into a directory. */
export async function draw(plot: Plot, directory: string, name: string): Promise<void> {
  const view = new View(parse(compile(specification(plot)).spec), { renderer: "none" });
  try {
    const svg = await view.toSVG();
    await writeFile(join(directory, `${name}.svg`), `${svg}\n`);
    const fitted = { mode: "zoom", value: ZOOM } as const;
    const png = new Resvg(svg, { fitTo: fitted, font: { loadSystemFonts: true } }).render();
    await writeFile(join(directory, `${name}.png`), png.asPng());
  } finally {
    view.finalize();
  }
}
