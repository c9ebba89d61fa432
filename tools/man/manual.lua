--- Man pages from the pages of docs/reference/: which page becomes which. What of Markdown becomes what of man(7) is in
--- roff.lua.

local roff = require "roff"

local M = {}

local FROM = "docs/reference/"

---@class konductor.Manual
---@field name string
---@field section integer
---@field said string      the line behind the name
---@field synopsis string  a pattern of lines of code on the pages, or of commands.md
---@field pages string[]   in this order; "PAGE#HEADING" is the part under that heading
---@field see string       other man pages

---@type konductor.Manual[]
M.MANUALS = {
  { name = "konductor", section = 1, said = "runs a step once, first and in order; lets one lead while others stand by",
    synopsis = "konductor .*", pages = { "cli.md", "exit-codes.md", "environment.md" },
    see = "koncli(1), just-one-init(1), konductor-script(5), konductor-objects(5), konductor-events(5)" },
  { name = "koncli", section = 1, said = "checks and simple operations on what konductor coordinates",
    synopsis = "koncli .*", pages = { "koncli.md", "commands.md#koncli", "environment.md" },
    see = "konductor(1), konductor-objects(5)" },
  { name = "just-one-init", section = 1, said = "one replica runs a command, the others stand by",
    synopsis = "just%-one%-init .*", pages = { "just-one-init.md" }, see = "konductor(1)" },
  { name = "konductor-script", section = 5, said = "policy scripts of konductor",
    synopsis = "local k = .*",
    pages = { "lua.md", "functions.md", "scripts.md" }, see = "konductor(1), konductor-objects(5)" },
  { name = "konductor-objects", section = 5, said = "what konductor keeps, field by field, and where",
    pages = { "objects.md", "kubernetes.md" }, see = "konductor(1), koncli(1)" },
  { name = "konductor-events", section = 5, said = "the event log of konductor, and its metrics",
    pages = { "events.md", "metrics.md" }, see = "konductor(1), konductor-script(5)" },
}

for _, manual in ipairs(M.MANUALS) do
  for _, page in ipairs(manual.pages) do
    roff.manual_of[page:match "^[^#]+"] = ("%s(%d)"):format(manual.name, manual.section)
  end
end

local function read(name)
  local file = assert(io.open(FROM .. name))
  local text = file:read "*a"
  file:close()
  return text
end

-- The text of a page, or of its part under a heading, which then is its title.
local function text_of(page)
  local name, part = page:match "^([^#]+)#?(.*)$"
  local text = read(name)
  if part == "" then
    return text
  end
  local _, from = text:find("\n## " .. part .. "\n", 1, true)
  assert(from, page)
  return "# Commands\n" .. text:sub(from + 1, text:find("\n## ", from, true) or -1)
end

-- Lines that are nothing but code of that form.
local function synopsis(manual, texts)
  local lines, seen = {}, {}
  for _, text in ipairs { read "commands.md", unpack(texts) } do
    for line in text:gmatch "[^\n]+" do
      local code = manual.synopsis and line:match("^`(" .. manual.synopsis .. ")`$")
        or manual.section == 5 and #lines == 0 and line:match("^" .. (manual.synopsis or "$^") .. "$")
      lines[#lines + 1] = code and not seen[code] and code or nil
      seen[code or ""] = true
    end
  end
  return lines
end

local function date()
  return os.date("!%Y-%m-%d", tonumber(os.getenv "SOURCE_DATE_EPOCH"))
end

--- One man page.
---@param manual konductor.Manual
---@param version string
---@return string
function M.text(manual, version)
  local texts = {}
  for i, page in ipairs(manual.pages) do
    texts[i] = text_of(page)
  end
  local out = roff.new()
  out:title(manual.name, manual.section, date(), "konductor " .. version)
  out:section "Name"
  out:raw(("%s \\- %s"):format(manual.name, roff.inline(manual.said)))
  local lines = synopsis(manual, texts)
  if lines[1] then
    out:section "Synopsis"
    out:code(lines)
  end
  out:section "Description"
  for i, text in ipairs(texts) do
    out:page(text, i > 1)
  end
  out:section "See also"
  out:raw((manual.see:gsub("([%w-]+)%((%d)%)", function(name, section)
    return ("\\fB%s\\fR(%s)"):format(roff.inline(name), section)
  end)))
  return out:text()
end

return M
