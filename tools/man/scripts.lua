--- The ready-made scripts as a page, from what each says of itself: the comment at its beginning, which is also its help.

local commands = require "commands"

local M = {}

local HEAD = [[
# Ready-made scripts

They are in the program: `konductor run @NAME`. `konductor help @NAME` prints what stands here: the head of each script
in `scripts/`, from which `tools/man/main.lua` makes this page. Words in capitals are variables of the environment.
]]

local function names()
  local list, pipe = {}, assert(io.popen "ls scripts")
  for line in pipe:lines() do
    list[#list + 1] = line:match "^(.+)%.lua$"
  end
  pipe:close()
  table.sort(list)
  return list
end

-- The comment at the beginning, paragraph by paragraph.
local function paragraphs(name)
  local list, open = {}, false
  for line in io.lines("scripts/" .. name .. ".lua") do
    local said = line:match "^%-%- ?(.*)$"
    if not said then
      break
    elseif said == "" then
      open = false
    elseif open then
      list[#list] = list[#list] .. "\n" .. said
    else
      list[#list + 1], open = said, true
    end
  end
  return list
end

-- Command lines stand far to the right, and two of them in one line apart.
local function add_commands(out, paragraph)
  for line in (paragraph .. "\n"):gmatch "%s*(.-)\n" do
    for command in (line .. "   "):gmatch "(%S.-)%s%s%s+" do
      out[#out + 1] = ("- `%s`"):format(command)
    end
  end
end

--- The text of the page.
---@return string
function M.page()
  local out = { HEAD }
  for _, name in ipairs(names()) do
    out[#out + 1] = ("## @%s"):format(name)
    for _, paragraph in ipairs(paragraphs(name)) do
      if paragraph:find "^  " then
        add_commands(out, paragraph)
      else
        out[#out + 1] = commands.marked(paragraph)
      end
      out[#out + 1] = ""
    end
  end
  return (table.concat(out, "\n"):gsub("\n+$", "")) .. "\n"
end

return M
