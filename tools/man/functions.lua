--- The library of scripts as a page, from its description for editors (lua/konductor/library.lua).
---
--- That file has one form: a block of `---` lines, then the function, table or blank line that it speaks of. Options
--- that a class shares with an earlier one are described there once.

local M = {}

local SOURCE = "lua/konductor/library.lua"
local HEAD = [[
# Every function and its options

`local k = require "konductor"`: all of it, function by function. This page is made from `lua/konductor/library.lua` by
`tools/man/main.lua`; how the parts work together is told in [the script interface](lua.md).
]]

--- What stands before the method of a class where it is called.
local RECEIVERS = {
  Once = "k.once(name)", Lease = "k.lease(name)", PolicyHandle = "k.policy(policy)(name)", Working = "ctx",
}
--- Classes that are given to functions of the script, or come from the library: not found by a function's own types.
local CLASSES = { Working = "ctx and hold", Result = "what k.exec gives", Box = "what k.inbox gives" }

local function plain(kind)
  return (kind:gsub("konductor%.", ""))
end

local function code(text)
  return "`" .. text:gsub("|", "\\|") .. "`"
end

-- Reading --------------------------------------------------------------------------------

local function read_field(rest)
  local name, kind = rest:match "^(%S+) (.*)$"
  local kind_only, said = kind:match "^(.-)%s%s+(.+)$"
  return {
    name = name:gsub("%?$", ""), optional = name:find "%?$" ~= nil, kind = plain(kind_only or kind), said = said,
  }
end

-- One line of a block.
local function take(block, line)
  local tag, rest = line:match "^@(%l+) ?(.*)$"
  if not tag then
    block.text[#block.text + 1] = line
  elseif tag == "field" then
    table.insert(block.fields, read_field(rest))
  elseif tag == "param" then
    table.insert(block.params, read_field(rest))
  elseif tag == "return" then
    table.insert(block.returns, plain(rest))
  elseif tag == "overload" then
    block.overload = plain(rest)
  elseif tag == "alias" then
    block.alias = plain(rest)
  elseif tag == "class" or tag == "type" then
    block.class = plain(rest):match "^%w+"
  end
end

local function new_block()
  return { text = {}, fields = {}, params = {}, returns = {} }
end

-- Descriptions of options that an earlier class gave, the nearest one first.
local function fill(class, classes)
  if not class.class:find "Options$" then
    return
  end
  for _, field in ipairs(class.fields) do
    for i = #classes, 1, -1 do
      if field.said then
        break
      end
      for _, other in ipairs(classes[i].fields) do
        field.said = field.said or (other.name == field.name and other.kind == field.kind and other.said or nil)
      end
    end
  end
end

local function finish(self, block, line)
  local receiver, name, args = line:match "^function (%w+)[.:]([%w_]+)%((.-)%) end"
  local space = line:match "^k%.(%w+) = {}"
  if receiver then
    local call = (receiver == "k" and "k." or (RECEIVERS[receiver] or receiver) .. ":") .. name
    table.insert(self.items, { call = call, args = args, block = block })
  elseif space then
    table.insert(self.items, { space = "k." .. space, block = block })
  elseif block.class == "konductor" then
    table.insert(self.items, { values = true, block = block })
  elseif CLASSES[block.class] then
    table.insert(self.items, { title = CLASSES[block.class], block = block })
  elseif block.alias then
    table.insert(self.items, { alias = block.alias, block = block })
  end
  if block.class then
    fill(block, self.classes)
    table.insert(self.classes, block)
    self.by_name[block.class] = block
  end
end

-- Whether an item is a method of what a function gives: it comes after that function.
local function is_method(item)
  return item and item.call and item.call:find "^k%." and item.call:find ":" ~= nil
end

-- Methods stand before the function that gives their object; a reader meets them the other way round.
local function functions_first(items)
  local out, waiting = {}, {}
  for _, item in ipairs(items) do
    local list = is_method(item) and waiting or out
    list[#list + 1] = item
    if item.call and not is_method(item) then
      for _, method in ipairs(waiting) do
        out[#out + 1] = method
      end
      waiting = {}
    end
  end
  return out
end

---@return table read  items in their order, and classes by name
local function read()
  local self, block = { items = {}, classes = {}, by_name = {} }, nil
  for line in io.lines(SOURCE) do
    local section, said = line:match "^%-%- (.-) %-%-%-+$", line:match "^%-%-%-(.*)$"
    if section then
      table.insert(self.items, { section = section })
    elseif said and line ~= "---@meta konductor" and not (not block and said:find "^ ") then
      block = block or new_block()
      take(block, said)
    elseif block and not said then
      finish(self, block, line)
      block = nil
    end
  end
  self.items = functions_first(self.items)
  return self
end

-- Writing --------------------------------------------------------------------------------

local function add_fields(out, class)
  local are_options = class.class:find "Options$" or class.class == "Exec"
  out[#out + 1] = ("\n| %s | type | |\n|---|---|---|"):format(are_options and "option" or "field")
  for _, field in ipairs(class.fields) do
    local name = field.name == "[integer]" and "[1], [2]..." or field.name
    local said = (field.said or ""):gsub("|", "\\|")
    if are_options and not field.optional and name == field.name then
      said = said == "" and "required" or "required: " .. said
    end
    out[#out + 1] = ("| `%s` | %s | %s |"):format(name, code(field.kind), said)
  end
end

-- The class of options that a function takes: itself, in the table behind it, or in that of what it gives.
local function options_of(item, classes)
  local given = table.concat(item.block.returns, " ")
  local kinds = { given, (classes[given] or {}).overload }
  for _, param in ipairs(item.block.params) do
    kinds[#kinds + 1] = param.kind
  end
  for name in table.concat(kinds, " "):gmatch "%u%w+" do
    local class = classes[name]
    if class and class.fields[1] and not CLASSES[name] then
      return class
    end
  end
end

local function text_of(block)
  local text = table.concat(block.text, " "):gsub("^%s+", "")
  return text:gsub("docs/([%w-]+%.md)", "[%1](../%1)")
end

local function add_params(out, params)
  for i, param in ipairs(params) do
    out[#out + 1] = ("%s- `%s`%s: %s"):format(i == 1 and "\n" or "", param.name,
      param.optional and ", may be left out" or "", code(param.kind))
  end
end

-- What is called again: `k.stage(name) { options }`.
local function call_of(item, classes)
  local given = item.block.returns[1] or ""
  local kind = given:find "^fun%(" and given or (classes[given] or {}).overload or ""
  local behind = kind:match "^fun%((%w+)%:"
  local form = behind == "name" and "(%s)" or behind and " { %s }" or ""
  return ("%s(%s)%s"):format(item.call, item.args, form:format(behind))
end

local function add_function(out, item, classes)
  local block = item.block
  out[#out + 1] = ("\n### %s\n`%s`\n"):format(item.call, call_of(item, classes))
  out[#out + 1] = text_of(block)
  add_params(out, block.params)
  local gives = table.concat(block.returns, ", ")
  if gives ~= "" and not gives:find "^fun%(" then
    out[#out + 1] = ("\nGives %s."):format(code(gives))
  end
  local options = options_of(item, classes)
  if options then
    add_fields(out, options)
  end
end

-- A table of functions: each of them by its full name.
local function add_space(out, item, classes)
  out[#out + 1] = ("\n### %s\n%s"):format(item.space, text_of(item.block))
  for _, field in ipairs(classes[item.block.class].fields) do
    local args, gives = field.kind:match "^fun(%b()):? ?(.*)$"
    out[#out + 1] = ("\n### %s.%s\n`%s.%s%s`%s%s"):format(item.space, field.name, item.space, field.name, args,
      gives ~= "" and ": gives " .. code(gives) or "", field.said and "; " .. field.said or "")
  end
end

local function add_item(out, item, classes)
  if item.section then
    out[#out + 1] = ("\n## %s"):format(item.section)
  elseif item.call then
    add_function(out, item, classes)
  elseif item.space then
    add_space(out, item, classes)
  elseif item.title then
    out[#out + 1] = ("\n### %s\n%s"):format(item.title, text_of(item.block))
    add_fields(out, item.block)
  elseif item.alias then
    local name, kind = item.alias:match "^(%S+) (.*)$"
    out[#out + 1] = ("\n`%s` is %s. %s"):format(name, code(kind), text_of(item.block))
  else
    out[#out + 1] = "\n## Values"
    add_fields(out, item.block)
  end
end

--- The text of the page.
---@return string
function M.page()
  local out, self = { HEAD }, read()
  for _, item in ipairs(self.items) do
    add_item(out, item, self.by_name)
  end
  return (table.concat(out, "\n"):gsub("\n\n\n+", "\n\n"):gsub("\n+$", "")) .. "\n"
end

return M
