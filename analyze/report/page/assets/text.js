"use strict";
// Words and numbers. These functions touch no page, so that they can be tried alone.
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const UNKNOWN = 4095;

function escaped(text) {
  return String(text).replace(/[&<>"']/g, (letter) => "&#" + letter.charCodeAt(0) + ";");
}

// Numbers of two letters each, as the page keeps them; null is unknown.
function decoded(text, low, high) {
  const values = [];
  for (let n = 0; n + 1 < text.length; n += 2) {
    const code = ALPHABET.indexOf(text[n]) * 64 + ALPHABET.indexOf(text[n + 1]);
    values.push(code === UNKNOWN ? null : low + (high - low) * code / (UNKNOWN - 1));
  }
  return values;
}

// Edges of a video's segments, one more than there are segments.
function edgesOf(series, count, frames) {
  if (series.edges) return series.edges;
  const edges = [];
  for (let n = 0; n < count; n += 1) edges.push(n * series.length);
  edges.push(frames);
  return edges;
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  const rest = String(whole % 60).padStart(2, "0");
  return Math.floor(whole / 60) + ":" + rest + (seconds < 60 ? "." + Math.floor(10 * (seconds - whole)) : "");
}

function short(value) {
  if (value === null || value === undefined) return "unknown";
  const size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 1e6) ? value.toExponential(1) : String(Number(value.toPrecision(4)));
}

// Numbers that were kept in two letters have three digits.
function rough(value) {
  return value === null ? "unknown" : String(Number(value.toPrecision(3)));
}

function isInside(spans, frame) {
  return spans.some((span) => span[0] <= frame && frame < span[1]);
}

// The segment that holds a frame, by halving.
function segmentAt(edges, frame) {
  let first = 0;
  let last = edges.length - 2;
  while (first < last) {
    const middle = (first + last + 1) >> 1;
    if (edges[middle] <= frame) first = middle; else last = middle - 1;
  }
  return first;
}

// Sort keys: numbers before words, unknown last in either direction.
function compared(left, right, direction) {
  const isEmpty = (key) => key === null || key === "";
  if (isEmpty(left) || isEmpty(right)) return Number(isEmpty(left)) - Number(isEmpty(right));
  if (typeof left === "number" && typeof right === "number") return direction * (left - right);
  return direction * String(left).localeCompare(String(right), undefined, { numeric: true });
}
