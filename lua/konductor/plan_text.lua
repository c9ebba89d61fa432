--- The graphs of plan.lua as text, DOT and Mermaid.

local svg = require "konductor.svg"

local M = {}

-- Text --------------------------------------------------------------------------------

local MARKS = {
  done = "[x]", held = "[>]", free = "[ ]", failed = "[!]", doubt = "[?]", blocked = "[-]", corrupt = "[!]",
}

-- What a person can do about it.
local NEXT = {
  failed = "when mended: koncli once reset %s",
  doubt = "look, then say which: koncli once resolve %s --ran or --not-run",
}

local function summary(graph)
  local done, total = 0, 0
  for _, box in ipairs(graph.boxes) do
    if box.object and box.shape == "work" then
      total = total + 1
      done = done + (box.state == "done" and 1 or 0)
    end
  end
  return total > 1 and (": %d of %d stages done"):format(done, total) or ""
end

local function text_of_box(out, box)
  local mark = box.object and (MARKS[box.state] or " - ") or "  >"
  out[#out + 1] = ("  %s %s%s"):format(mark, box.title, box.status and "  (" .. box.status .. ")" or "")
  local function line(label, value)
    if value and value ~= "" then
      out[#out + 1] = ("        %s%s"):format(label ~= "" and ("%-9s"):format(label) or "", value)
    end
  end
  line(box.shape == "lease" and "" or "runs", box.lines[1])
  line("after", table.concat(box.after, ", "))
  line("options", box.lines[2])
  line("object", box.object)
  line("next", NEXT[box.state] and NEXT[box.state]:format(box.object:match "[^/]*$"))
end

--- For a terminal: a list in the order in which things happen.
---@param plan konductor.Plan
---@param graphs konductor.PlanGraph[]
---@return string
function M.text(plan, graphs)
  local out = { plan.name .. (plan.store and "  (store " .. plan.store .. ")" or "") }
  for _, graph in ipairs(graphs) do
    out[#out + 1] = ""
    out[#out + 1] = graph.title .. (plan.states and summary(graph) or "")
    for _, box in ipairs(graph.boxes) do
      text_of_box(out, box)
    end
  end
  if plan.steps and #plan.steps > 0 then
    out[#out + 1] = ""
    out[#out + 1] = "the script itself"
    for _, step in ipairs(plan.steps) do
      out[#out + 1] = ("    - %s  (%s)"):format(step.what, step.place)
    end
  end
  return table.concat(out, "\n") .. "\n"
end

-- DOT and Mermaid ---------------------------------------------------------------------

local function dot_quote(text)
  return '"' .. text:gsub('[\\"]', "\\%0") .. '"'
end

local DOT_SHAPES = { work = "box", main = "box", lease = "hexagon" }

--- For Graphviz.
---@param plan konductor.Plan
---@param graphs konductor.PlanGraph[]
---@return string
function M.dot(plan, graphs)
  local out = {
    "digraph " .. dot_quote(plan.name) .. " {",
    "  rankdir=LR;",
    '  node [fontname="Helvetica", fontsize=11, style="filled,rounded", fillcolor="#ffffff", fontcolor="#1f2328"];',
    '  edge [color="#57606a"];',
  }
  for i, graph in ipairs(graphs) do
    out[#out + 1] = ("  subgraph cluster_%d {"):format(i)
    out[#out + 1] = ('    label=%s; fontname="Helvetica"; color="#8c959f";'):format(dot_quote(graph.title))
    for _, box in ipairs(graph.boxes) do
      local colours = svg.palette(box)
      local lines = svg.lines(box, box.title)
      for j, line in ipairs(lines) do
        lines[j] = dot_quote(line):sub(2, -2)
      end
      out[#out + 1] = ('    %s [label="%s", shape=%s, fillcolor="%s", color="%s"];'):format(
        box.id, table.concat(lines, "\\n"), DOT_SHAPES[box.shape], colours.fill, colours.line)
    end
    for _, arrow in ipairs(graph.arrows) do
      out[#out + 1] = ("    %s -> %s;"):format(arrow.from.id, arrow.to.id)
    end
    out[#out + 1] = "  }"
  end
  out[#out + 1] = "}"
  return table.concat(out, "\n") .. "\n"
end

local MERMAID_ENTITIES = { ["#"] = "#35;", ['"'] = "#quot;", ["<"] = "#lt;", [">"] = "#gt;", ["&"] = "#amp;",
  ["`"] = "#96;" }

local MERMAID_SHAPES = { work = '    %s["%s"]', main = '    %s(["%s"])', lease = '    %s{{"%s"}}' }

local function mermaid_text(text)
  return (text:gsub('[#"<>&`]', MERMAID_ENTITIES))
end

--- For Markdown pages.
---@param graphs konductor.PlanGraph[]
---@return string
function M.mermaid(_, graphs)
  local out, used = { "flowchart LR" }, {}
  local classes = {}
  for i, graph in ipairs(graphs) do
    out[#out + 1] = ('  subgraph g%d["%s"]'):format(i, mermaid_text(graph.title))
    for _, box in ipairs(graph.boxes) do
      local lines = svg.lines(box, box.title)
      for j, line in ipairs(lines) do
        lines[j] = mermaid_text(line)
      end
      out[#out + 1] = MERMAID_SHAPES[box.shape]:format(box.id, table.concat(lines, "<br/>"))
      local class = box.object and box.state or nil
      if class then
        if not used[class] then
          used[class] = svg.palette(box)
          classes[#classes + 1] = class
        end
        out[#out + 1] = ("    class %s %s"):format(box.id, class)
      end
    end
    for _, arrow in ipairs(graph.arrows) do
      out[#out + 1] = ("    %s --> %s"):format(arrow.from.id, arrow.to.id)
    end
    out[#out + 1] = "  end"
  end
  for _, class in ipairs(classes) do
    out[#out + 1] = ("  classDef %s fill:%s,stroke:%s,color:#1f2328"):format(class, used[class].fill, used[class].line)
  end
  return table.concat(out, "\n") .. "\n"
end

return M
