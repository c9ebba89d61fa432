--- Markdown as the pages use it, as man(7).
---
--- A heading is a section. A row of a table is a paragraph with its first cell as a tag, and the others named by their
--- headings. Code of several lines is shown as it is. A link is its text. What the pages use is understood and nothing
--- else: tests/e2e/test_man.py finds what is left of Markdown in the result.

local M = {}

---@class konductor.Roff
local Roff = {}
Roff.__index = Roff

---@return konductor.Roff
function M.new()
  return setmetatable({ out = {} }, Roff)
end

-- Words ----------------------------------------------------------------------------------

-- No character of it is an order to roff.
local function escape(text)
  return (text:gsub("\\", "\\e"))
end

local function code(text)
  return "\\fB" .. escape(text):gsub("%-", "\\-") .. "\\fR"
end

--- Man pages by the pages that they are made of: what a link is that only names a page.
---@type table<string, string>
M.manual_of = {}

-- A link is its text.
local function unlinked(text, target)
  return text:find "%.md$" and M.manual_of[target:match "([^/#]+%.md)"] or text
end

--- Text with its marks: code, links, bold and italic.
---@param text string
---@return string
function M.inline(text)
  local codes = {}
  text = text:gsub("\\|", "|"):gsub("`([^`]+)`", function(inner)
    codes[#codes + 1] = inner
    return ("\1%d\2"):format(#codes)
  end)
  text = escape(text:gsub("%[([^%]]*)%]%(([^)%s]*)%)", unlinked):gsub("<br>", "; "))
  text = text:gsub("%*%*(.-)%*%*", "\\fB%1\\fR"):gsub("%*(%w[^*]*)%*", "\\fI%1\\fR")
  text = text:gsub("\1(%d+)\2", function(number)
    return code(codes[tonumber(number)])
  end)
  return (text:gsub("^([.'])", "\\&%1"):gsub("\n([.'])", "\n\\&%1"))
end

-- Parts ----------------------------------------------------------------------------------

function Roff:raw(line)
  self.out[#self.out + 1] = line
end

function Roff:title(name, section, date, from)
  self:raw((".TH %s %d %s \"%s\" \"konductor\""):format(name:upper(), section, date, from))
end

function Roff:section(title)
  local words = M.inline((title:gsub("`", "")))
  self:raw(".SH " .. (title:find "`" and words or words:upper()))
end

-- A heading of the second or third rank.
function Roff:subsection(title)
  self:raw(".SS " .. M.inline((title:gsub("`", ""))))
end

-- A paragraph begins; behind a heading one has begun.
function Roff:begin()
  if not self.out[#self.out]:find "^%.S[HS]" then
    self:raw ".PP"
  end
end

---@param lines string[]
function Roff:code(lines)
  self:begin()
  self:raw ".RS 2\n.EX"
  for _, line in ipairs(lines) do
    self:raw((escape(line):gsub("%-", "\\-"):gsub("^([.'])", "\\&%1")))
  end
  self:raw ".EE\n.RE"
end

local function cells_of(line)
  local cells = {}
  for cell in (line:gsub("\\|", "\1"):match "^|(.*)|$" .. "|"):gmatch "%s*(.-)%s*|" do
    cells[#cells + 1] = (cell:gsub("\1", "|"))
  end
  return cells
end

-- What stands behind the tag: the cells of columns without a name, else the first one; then the others by their names.
local function body_of(head, cells)
  local said, named, many = {}, {}, #head > 2
  for i = 2, #cells do
    if cells[i] ~= "" then
      local is_named = many and (head[i] or "") ~= ""
      table.insert(is_named and named or said, is_named and { head[i], cells[i] } or cells[i])
    end
  end
  if not said[1] and named[1] then
    said[1] = table.remove(named, 1)[2]
  end
  for i, each in ipairs(named) do
    named[i] = table.concat(each, " ")
  end
  said[#said + 1] = named[1] and "(" .. table.concat(named, "; ") .. ")" or nil
  return table.concat(said, " ")
end

-- Headings of a first column that say nothing which its cells do not say.
local PLAIN = { [""] = true, option = true, field = true, variable = true, code = true, command = true, verb = true }

---@param lines string[]  the heading, the line of dashes, the rows
function Roff:table(lines)
  local head = cells_of(lines[1])
  if not PLAIN[head[1]] then
    self:begin()
    self:raw(("\\fI%s\\fR"):format(M.inline(head[1])))
  end
  for i = 3, #lines do
    local cells = cells_of(lines[i])
    local body = M.inline(body_of(head, cells))
    self:raw(".TP\n" .. M.inline(cells[1]))
    self:raw(body ~= "" and body or "\\&")
  end
end

---@param mark string  "-" or a number
function Roff:item(mark, text)
  self:raw((mark == "-" and ".IP \\(bu 2\n" or ".IP %s 4\n"):format(mark) .. M.inline(text))
end

function Roff:paragraph(text)
  self:begin()
  self:raw(M.inline(text))
end

-- Pages ----------------------------------------------------------------------------------

-- Lines from `at` on, as long as they fit; and where the next one is.
local function while_matching(lines, at, fits)
  local taken = {}
  while lines[at] and fits(lines[at]) do
    taken[#taken + 1], at = lines[at], at + 1
  end
  return taken, at
end

-- As while_matching, with what is done with them.
local function with_lines(lines, at, fits, act)
  local taken, after = while_matching(lines, at, fits)
  act(taken)
  return after
end

local function is_text(line)
  return line ~= "" and not line:find "^#+ " and not line:find "^%s*```" and not line:find "^|" and not line:find "^%- "
    and not line:find "^%d+%. " and not line:find "^<!%-%-"
end

local function heading(self, line, is_further)
  local marks, title = line:match "^(#+) (.*)$"
  if #marks == 1 then
    if is_further then
      self:section(title)
    end
  elseif #marks == 2 and not is_further then
    self:section(title)
  else
    self:subsection(title)
  end
end

local function item(self, lines, at)
  local mark, first = lines[at]:match "^(%S+) +(.*)$"
  local more, after = while_matching(lines, at + 1, is_text)
  for i, line in ipairs(more) do
    more[i] = line:match "^%s*(.*)$"
  end
  self:item(mark, table.concat({ first, unpack(more) }, "\n"))
  return after
end

local function fence(self, lines, at)
  local indent = #lines[at]:match "^ *"
  local inner, after = while_matching(lines, at + 1, function(line) return not line:find "^%s*```" end)
  for i, line in ipairs(inner) do
    inner[i] = line:sub(indent + 1)
  end
  self:code(inner)
  return after + 1
end

--- A page of Markdown.
---@param text string
---@param is_further boolean  not the first one: its title is a section, its sections are parts of that
function Roff:page(text, is_further)
  local lines, at = {}, 1
  for line in text:gmatch "([^\n]*)\n" do
    lines[#lines + 1] = line
  end
  while lines[at] do
    local line = lines[at]
    if line:find "^#+ " then
      heading(self, line, is_further)
      at = at + 1
    elseif line:find "^%s*```" then
      at = fence(self, lines, at)
    elseif line:find "^|" then
      at = with_lines(lines, at, function(each) return each:find "^|" ~= nil end, function(taken) self:table(taken) end)
    elseif line:find "^%- " or line:find "^%d+%. " then
      at = item(self, lines, at)
    elseif is_text(line) then
      at = with_lines(lines, at, is_text, function(taken) self:paragraph(table.concat(taken, "\n")) end)
    else
      at = at + 1
    end
  end
end

---@return string
function Roff:text()
  return table.concat(self.out, "\n") .. "\n"
end

return M
