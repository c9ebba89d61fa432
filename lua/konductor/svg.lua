--- Draws the graphs of plan.lua as one SVG that needs nothing beside it: boxes in columns,
--- each to the right of all that it waits for, arrows between them, colours by state, for
--- light and for dark pages.
---
--- Layered layout in four steps: columns by the longest way from the left; a place holder in
--- every column that an arrow crosses; the order within a column by the mean place of the
--- neighbours, which removes most crossings; then heights, so that arrows run level.

local text = require "konductor.text"

local M = {}

local PAD, GAP_X, GAP_Y, MARGIN = 12, 56, 18, 24
local TITLE_LINE, LINE, TITLE_CHAR, CHAR = 18, 15, 7.7, 6.65
local PLACE_HOLDER_HEIGHT = 6
local GRAPH_TITLE = 30
local SWEEPS = 6

local LIGHT = {
  done = { fill = "#dafbe1", line = "#1a7f37" },
  held = { fill = "#fff8c5", line = "#9a6700" },
  free = { fill = "#ffffff", line = "#8c959f" },
  failed = { fill = "#ffebe9", line = "#cf222e" },
  doubt = { fill = "#fbefff", line = "#8250df" },
  blocked = { fill = "#f6f8fa", line = "#8c959f" },
  main = { fill = "#ddf4ff", line = "#0969da" },
}
local DARK = {
  done = { fill = "#12261e", line = "#3fb950" },
  held = { fill = "#272115", line = "#d29922" },
  free = { fill = "#161b22", line = "#6e7681" },
  failed = { fill = "#25171c", line = "#f85149" },
  doubt = { fill = "#1f1a2e", line = "#a371f7" },
  blocked = { fill = "#0d1117", line = "#6e7681" },
  main = { fill = "#0c1d33", line = "#58a6ff" },
}

local function class_of(box)
  if box.shape == "main" then
    return "main"
  elseif box.state == "corrupt" then
    return "failed"
  end
  return box.state or "free"
end

--- Colours of a box on a light page.
---@param box konductor.PlanBox
---@return { fill: string, line: string }
function M.palette(box)
  return LIGHT[class_of(box)]
end

-- Layout ------------------------------------------------------------------------------

---@class konductor.SvgNode   a box, or the place holder of an arrow that passes through
---@field box konductor.PlanBox?
---@field layer integer
---@field width number
---@field height number
---@field left konductor.SvgNode[]
---@field right konductor.SvgNode[]
---@field place number   within its layer
---@field x number
---@field y number       of its middle

--- What stands in a box, line by line.
---@param box konductor.PlanBox
---@param title? string  to stand above it
---@return string[]
function M.lines(box, title)
  local lines = { title }
  for _, line in ipairs(box.lines) do
    if line ~= "" then
      lines[#lines + 1] = line
    end
  end
  lines[#lines + 1] = box.status
  return lines
end

local function characters(line)
  local _, count = line:gsub("[^\128-\191]", "")
  return count
end

local function node_of(box)
  local lines = M.lines(box)
  local width = characters(box.title) * TITLE_CHAR
  for _, line in ipairs(lines) do
    width = math.max(width, characters(line) * CHAR)
  end
  return {
    box = box, lines = lines, layer = 1, left = {}, right = {},
    width = math.ceil(width) + 2 * PAD, height = TITLE_LINE + #lines * LINE + PAD,
  }
end

local function join(from, to)
  from.right[#from.right + 1] = to
  to.left[#to.left + 1] = from
end

local function add(layers, node)
  layers[node.layer] = layers[node.layer] or {}
  local layer = layers[node.layer]
  layer[#layer + 1] = node
  node.place = #layer
end

--- Columns, with place holders where an arrow passes.
local function make_layers(graph)
  local node = {}
  for _, box in ipairs(graph.boxes) do
    node[box] = node_of(box)
  end
  -- Boxes come in an order that fits the arrows, and arrows in the order of their target.
  for _, arrow in ipairs(graph.arrows) do
    local from, to = node[arrow.from], node[arrow.to]
    to.layer = math.max(to.layer, from.layer + 1)
  end
  local layers, chains = {}, {}
  for _, box in ipairs(graph.boxes) do
    add(layers, node[box])
  end
  for i, arrow in ipairs(graph.arrows) do
    local from, to = node[arrow.from], node[arrow.to]
    local chain, last = { from }, from
    for layer = from.layer + 1, to.layer - 1 do
      local holder = { layer = layer, left = {}, right = {}, width = 0, height = PLACE_HOLDER_HEIGHT }
      add(layers, holder)
      join(last, holder)
      chain[#chain + 1], last = holder, holder
    end
    join(last, to)
    chain[#chain + 1] = to
    chains[i] = chain
  end
  return layers, chains
end

local function mean(nodes, field)
  local sum = 0
  for _, node in ipairs(nodes) do
    sum = sum + node[field]
  end
  return sum / #nodes
end

local function sort_layer(layer, side)
  for _, node in ipairs(layer) do
    node.wish = #node[side] > 0 and mean(node[side], "place") or node.place
  end
  table.sort(layer, function(a, b)
    if a.wish ~= b.wish then
      return a.wish < b.wish
    end
    return a.place < b.place
  end)
  for i, node in ipairs(layer) do
    node.place = i
  end
end

--- Runs over the columns from left to right, then from right to left, and again.
local function sweep(layers, visit)
  for _ = 1, SWEEPS do
    for i = 2, #layers do
      visit(layers[i], "left")
    end
    for i = #layers - 1, 1, -1 do
      visit(layers[i], "right")
    end
  end
end

--- Moves the nodes of a column level with their neighbours, as far as the order allows.
local function level_layer(layer, side)
  local bottom, shift = -math.huge, 0
  for _, node in ipairs(layer) do
    local wish = #node[side] > 0 and mean(node[side], "y") or node.y
    node.y = math.max(wish, bottom + node.height / 2)
    shift = shift + wish - node.y
    bottom = node.y + node.height / 2 + GAP_Y
  end
  for _, node in ipairs(layer) do
    node.y = node.y + shift / #layer
  end
end

local function stack_layer(layer)
  local height = -GAP_Y
  for _, node in ipairs(layer) do
    height = height + node.height + GAP_Y
  end
  local y = -height / 2
  for _, node in ipairs(layer) do
    node.y = y + node.height / 2
    y = y + node.height + GAP_Y
  end
end

--- Places the nodes of a graph below `top`. Gives its columns, the ways of its arrows, and
--- where it ends on the right and below.
local function lay_out(graph, top)
  local layers, chains = make_layers(graph)
  sweep(layers, sort_layer)
  for _, layer in ipairs(layers) do
    stack_layer(layer)
  end
  sweep(layers, level_layer)
  local x, highest, lowest = MARGIN, math.huge, -math.huge
  for _, layer in ipairs(layers) do
    local width = 0
    for _, node in ipairs(layer) do
      width = math.max(width, node.width)
      highest = math.min(highest, node.y - node.height / 2)
      lowest = math.max(lowest, node.y + node.height / 2)
    end
    for _, node in ipairs(layer) do
      node.x, node.width = x, width
    end
    x = x + width + GAP_X
  end
  for _, layer in ipairs(layers) do
    for _, node in ipairs(layer) do
      node.y = node.y - highest + top
    end
  end
  return layers, chains, x - GAP_X + MARGIN, top + lowest - highest
end

-- Drawing -----------------------------------------------------------------------------

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

local function escape(line)
  return (text.clip(line, #line):gsub('[&<>"]', ENTITIES))
end

local function number(value)
  return (("%.1f"):format(value):gsub("%.0$", ""))
end

local function draw_box(out, node)
  local box = node.box
  local top = node.y - node.height / 2
  local class = class_of(box)
  out[#out + 1] = ('<g class="%s"><rect x="%s" y="%s" width="%s" height="%s" rx="%d"/>'):format(class, number(node.x),
    number(top), number(node.width), number(node.height), box.shape == "work" and 6 or 16)
  out[#out + 1] = ('<text class="name" x="%s" y="%s">%s</text>'):format(number(node.x + PAD), number(top + TITLE_LINE),
    escape(box.title))
  for i, line in ipairs(node.lines) do
    local is_status = line == box.status and i == #node.lines
    out[#out + 1] = ('<text class="%s" x="%s" y="%s">%s</text>'):format(is_status and "status" or "line",
      number(node.x + PAD), number(top + TITLE_LINE + i * LINE), escape(line))
  end
  out[#out + 1] = "</g>"
end

--- An arrow leaves a box in the middle of its right side and runs level through the columns
--- that it only crosses.
local function draw_arrow(out, chain)
  local parts = {}
  for i, node in ipairs(chain) do
    if i == 1 then
      parts[1] = ("M%s %s"):format(number(node.x + node.width), number(node.y))
    else
      local before = chain[i - 1]
      local x0, x1 = before.x + before.width, node.x
      local middle = (x0 + x1) / 2
      local y0, y1 = number(before.y), number(node.y)
      parts[#parts + 1] = ("C%s %s %s %s %s %s"):format(number(middle), y0, number(middle), y1, number(x1), y1)
      if i < #chain then
        parts[#parts + 1] = ("H%s"):format(number(node.x + node.width))
      end
    end
  end
  out[#out + 1] = ('<path class="arrow" d="%s" marker-end="url(#head)"/>'):format(table.concat(parts, " "))
end

local function rules(colours, page, ink, faint, line)
  local out = {
    (".page{fill:%s}"):format(page), (".name,.title{fill:%s}"):format(ink), (".line{fill:%s}"):format(faint),
    (".arrow{stroke:%s}.head{fill:%s}"):format(line, line),
  }
  for _, class in ipairs { "done", "held", "free", "failed", "doubt", "blocked", "main" } do
    local c = colours[class]
    out[#out + 1] = (".%s rect{fill:%s;stroke:%s}.%s .status{fill:%s}"):format(class, c.fill, c.line, class,
      class == "free" and faint or class == "blocked" and faint or c.line)
  end
  return table.concat(out)
end

local STYLE = table.concat {
  "text{font:11px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace}",
  ".name,.title{font:600 13px system-ui,'DejaVu Sans',Helvetica,Arial,sans-serif}.title{font-size:15px}",
  "rect{stroke-width:1.5}.blocked rect{stroke-dasharray:4 3}.arrow{fill:none;stroke-width:1.5}",
  rules(LIGHT, "#ffffff", "#1f2328", "#57606a", "#57606a"),
  "@media(prefers-color-scheme:dark){", rules(DARK, "#0d1117", "#e6edf3", "#9198a1", "#9198a1"), "}",
}

--- One drawing, the graphs below each other.
---@param title string
---@param graphs konductor.PlanGraph[]
---@return string
function M.render(title, graphs)
  local body, width, y = {}, 2 * MARGIN + characters(title) * TITLE_CHAR * 1.2, MARGIN
  for _, graph in ipairs(graphs) do
    body[#body + 1] = ('<text class="title" x="%d" y="%s">%s</text>'):format(MARGIN, number(y + 12),
      escape(graph.title))
    local layers, chains, right, bottom = lay_out(graph, y + GRAPH_TITLE)
    for _, chain in ipairs(chains) do
      draw_arrow(body, chain)
    end
    for _, layer in ipairs(layers) do
      for _, node in ipairs(layer) do
        if node.box then
          draw_box(body, node)
        end
      end
    end
    width = math.max(width, right, 2 * MARGIN + characters(graph.title) * TITLE_CHAR * 1.2)
    y = bottom + MARGIN + 8
  end
  width, y = math.ceil(width), math.ceil(y)
  return table.concat({
    ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">'):format(
      width, y, width, y),
    ("<title>%s</title><style>%s</style>"):format(escape(title), STYLE),
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
      .. '<path class="head" d="M0 0L8 4L0 8z"/></marker></defs>',
    ('<rect class="page" width="%d" height="%d" stroke="none"/>'):format(width, y),
    table.concat(body, "\n"),
    "</svg>",
  }, "\n") .. "\n"
end

return M
