"use strict";
const field = document.getElementById("filter");
const items = [...document.querySelectorAll("[data-f]")];
const groups = [...document.querySelectorAll("[data-g]")];
const texts = new Map();
field.addEventListener("input", () => {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const item of items) {
    if (!texts.has(item)) texts.set(item, (item.textContent + " " + item.title).toLowerCase());
    item.hidden = !words.every((word) => texts.get(item).includes(word));
  }
  for (const group of groups) {
    const found = group.querySelector("[data-f]:not([hidden])");
    group.hidden = !found;
    if (words.length && found) group.open = true;
  }
});
