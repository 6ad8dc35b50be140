// Pan and zoom: a viewport maps world to screen by screen = world · scale + offset.

import type { Viewport } from "./draw.js";

export const CLOSEST = 8;

export interface Size {
  width: number;
  height: number;
}

/** Shows the whole world, centred, enlarged no more than `most` times. */
export function whole(world: Size, screen: Size, most = 1): Viewport {
  const scale = Math.min(most, screen.width / world.width, screen.height / world.height);
  return {
    scale,
    x: (screen.width - world.width * scale) / 2,
    y: (screen.height - world.height * scale) / 2,
  };
}

/** Zooms by a factor around a point of the screen, between the whole and eightfold. */
export function zoomAt(
  view: Viewport,
  factor: number,
  px: number,
  py: number,
  world: Size,
  screen: Size,
  most = 1,
): Viewport {
  const least = whole(world, screen, most).scale;
  const scale = Math.min(CLOSEST, Math.max(least, view.scale * factor));
  const by = scale / view.scale;
  return hold({ scale, x: px - (px - view.x) * by, y: py - (py - view.y) * by }, world, screen);
}

/** How many times a picture is enlarged in full screen, so that a room can read it. */
export function enlarged(width: number): number {
  return Math.min(2, Math.max(1, width / 1000));
}

/** Keeps the world in sight: centred where it is smaller than the screen, else without a gap. */
export function hold(view: Viewport, world: Size, screen: Size): Viewport {
  const along = (offset: number, size: number, room: number): number =>
    size <= room + 0.5 ? (room - size) / 2 : Math.min(0, Math.max(room - size, offset));
  return {
    scale: view.scale,
    x: along(view.x, world.width * view.scale, screen.width),
    y: along(view.y, world.height * view.scale, screen.height),
  };
}

/** Moves a point of the world into sight, with room around it, if it is not there. */
export function reveal(
  view: Viewport,
  x: number,
  y: number,
  world: Size,
  screen: Size,
  room = 48,
): Viewport {
  const sx = x * view.scale + view.x;
  const sy = y * view.scale + view.y;
  const dx = Math.max(0, room - sx) - Math.max(0, sx - (screen.width - room));
  const dy = Math.max(0, room - sy) - Math.max(0, sy - (screen.height - room));
  return dx || dy ? hold({ ...view, x: view.x + dx, y: view.y + dy }, world, screen) : view;
}
