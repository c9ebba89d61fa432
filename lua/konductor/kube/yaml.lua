--- Lua tables as YAML for people. Pure.
---
--- Writes what JSON can hold, in block style. A table with a first element is a list, every
--- other a map; the keys of a map come in a fixed order: those that say what a thing is
--- first, then by the alphabet. Long texts are folded, so that they can be read in a terminal.

local M = {}

local WIDTH, LONG = 110, 80

local FIRST = {
  "apiVersion", "kind", "metadata", "name", "namespace", "labels", "annotations", "spec", "type", "description",
  "format", "apiGroups", "resources", "resourceNames", "verbs",
}
local RANK = {}
for i, key in ipairs(FIRST) do
  RANK[key] = i
end

local function keys_of(map)
  local keys = {}
  for key in pairs(map) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    local ra, rb = RANK[a] or math.huge, RANK[b] or math.huge
    if ra ~= rb then
      return ra < rb
    end
    return a < b
  end)
  return keys
end

-- Words that readers of YAML 1.1 take for something other than text.
local WORDS = {}
for word in ("y yes n no true false on off null"):gmatch "%S+" do
  WORDS[word] = true
end

-- Whether a text may stand without quotes: no word, no number, no date, and nothing that
-- means something to YAML at its beginning or within.
local function is_plain(value)
  return not WORDS[value:lower()] and value:find "^[%a/$][%w%s._/$(){}%[%],+*'!?=<>|&~^%%;@-]*$" ~= nil
    and not value:find "[\r\n\t]" and not value:find "%s$"
end

local function quoted(value)
  return '"' .. value:gsub('[%c"\\]', function(c)
    local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t" }
    return escapes[c] or ("\\x%02X"):format(c:byte())
  end) .. '"'
end

-- Whether a text stands in a folded block, which keeps this one as it is: a long text, or one
-- that would be full of backslashes between quotes.
local function folds(value)
  local is_long = #value > LONG and value:find(" ", 1, true) ~= nil
  return (is_long or value:find '["\\]' ~= nil) and not value:find "%c" and not value:find "  "
    and value:find "^%S" ~= nil and value:find "%S$" ~= nil
end

local function fold(value, indent, out)
  local line = ""
  for word in value:gmatch "%S+" do
    if line ~= "" and #indent + #line + 1 + #word > WIDTH then
      out[#out + 1] = indent .. line
      line = word
    else
      line = line == "" and word or line .. " " .. word
    end
  end
  out[#out + 1] = indent .. line
end

local function scalar(value)
  if type(value) == "string" then
    return is_plain(value) and value or quoted(value)
  elseif type(value) == "number" then
    return value == math.floor(value) and ("%.0f"):format(value) or ("%.17g"):format(value)
  elseif type(value) == "boolean" then
    return tostring(value)
  end
  error(("a %s cannot be written as YAML"):format(type(value)))
end

-- A list of words on one line, or nil when it is no such list or too long.
local function inline(list)
  local words = {}
  for i, each in ipairs(list) do
    local word = type(each) ~= "table" and scalar(each) or ","
    if word:find "[%[%]{},]" then
      return nil
    end
    words[i] = word
  end
  local line = "[" .. table.concat(words, ", ") .. "]"
  return #line <= LONG and line or nil
end

-- The mark that core.json gives to lists, and to tables that are to be lists.
local function is_empty_list(value)
  local mt = getmetatable(value)
  return type(mt) == "table" and mt.__jsontype == "array"
end

local emit

-- What stands behind "key:" or "-": on the same line when it is short, else below.
local function emit_value(value, lead, indent, out)
  local line = type(value) == "table" and value[1] ~= nil and inline(value)
  if line then
    out[#out + 1] = lead .. " " .. line
  elseif type(value) == "table" and next(value) ~= nil then
    out[#out + 1] = lead
    emit(value, indent, out)
  elseif type(value) == "table" then
    out[#out + 1] = lead .. (is_empty_list(value) and " []" or " {}")
  elseif type(value) == "string" and folds(value) then
    out[#out + 1] = lead .. " >-"
    fold(value, indent, out)
  else
    out[#out + 1] = lead .. " " .. scalar(value)
  end
end

-- An element of a list: the first line of a map stands behind its dash.
local function emit_element(value, indent, out)
  if type(value) ~= "table" or next(value) == nil or value[1] ~= nil and inline(value) then
    emit_value(value, indent .. "-", indent .. "  ", out)
    return
  end
  local at = #out + 1
  emit(value, indent .. "  ", out)
  out[at] = indent .. "- " .. out[at]:sub(#indent + 3)
end

function emit(value, indent, out)
  if value[1] ~= nil then
    for _, element in ipairs(value) do
      emit_element(element, indent, out)
    end
    return
  end
  for _, key in ipairs(keys_of(value)) do
    local each = value[key]
    local deeper = type(each) == "table" and each[1] ~= nil and indent or indent .. "  "
    emit_value(each, indent .. scalar(key) .. ":", deeper, out)
  end
end

--- One document, without "---".
---@param value table
---@return string
function M.encode(value)
  local out = {}
  emit(value, "", out)
  return table.concat(out, "\n") .. "\n"
end

--- Anything on one line, in the style of JSON without needless quotes.
---@param value any
---@return string
function M.line(value)
  local out = {}
  if type(value) ~= "table" then
    local word = scalar(value)
    return word:find "^[^\"].*[%[%]{},]" and quoted(value) or word
  elseif value[1] ~= nil or is_empty_list(value) then
    for i, each in ipairs(value) do
      out[i] = M.line(each)
    end
    return "[" .. table.concat(out, ", ") .. "]"
  end
  for i, key in ipairs(keys_of(value)) do
    out[i] = scalar(key) .. ": " .. M.line(value[key])
  end
  return "{" .. table.concat(out, ", ") .. "}"
end

--- Several documents.
---@param list table[]
---@return string
function M.stream(list)
  local out = {}
  for i, each in ipairs(list) do
    out[i] = M.encode(each)
  end
  return table.concat(out, "---\n")
end

return M
