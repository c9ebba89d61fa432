--- Small helpers for text and for tables in a fixed order. Pure.

local M = {}

--- Key order of spairs: numbers before strings, each ascending; other keys by type.
local function before(a, b)
  local ta, tb = type(a), type(b)
  if ta ~= tb then
    return ta < tb
  elseif ta == "number" or ta == "string" then
    return a < b
  end
  return tostring(a) < tostring(b)
end

--- Like pairs(), in ascending order of keys: the same order in every run.
---@generic K, V
---@param t table<K, V>
---@return fun(): K?, V?
function M.spairs(t)
  local keys = {}
  for key in pairs(t) do
    keys[#keys + 1] = key
  end
  table.sort(keys, before)
  local i = 0
  return function()
    i = i + 1
    local key = keys[i]
    if key ~= nil then -- t may refuse to be asked for what it does not have
      return key, t[key]
    end
  end
end

-- Most texts are: nothing in them has to be looked at byte by byte.
local function is_printable_ascii(text)
  return not text:find "[^\32-\126]"
end

-- Length of the UTF-8 sequence that starts at a place, or nil when there is none.
local function sequence(text, at)
  local byte = text:byte(at)
  local n = byte < 0x80 and 1 or byte >= 0xC2 and byte < 0xE0 and 2 or byte >= 0xE0 and byte < 0xF0 and 3
    or byte >= 0xF0 and byte < 0xF5 and 4 or nil
  if n and n > 1 and not text:find("^" .. ("[\128-\191]"):rep(n - 1), at + 1) then
    return nil
  end
  return n
end

-- Of one byte, or one of those that UTF-8 writes as two: terminals obey both.
local function is_control(piece)
  return piece:find "^%c" ~= nil or piece:find "^\194[\128-\159]" ~= nil
end

--- At most `limit` bytes of a text, control characters and broken UTF-8 replaced by "?",
--- no character cut in two.
---@param text string
---@param limit integer
---@return string
function M.clip(text, limit)
  if is_printable_ascii(text) then
    return text:sub(1, limit)
  end
  local out, size, at = {}, 0, 1
  while at <= #text do
    local n = sequence(text, at)
    local piece = n and text:sub(at, at + n - 1) or "?"
    if is_control(piece) then
      piece = (piece == "\n" or piece == "\t") and " " or "?"
    end
    size = size + #piece
    if size > limit then
      break
    end
    out[#out + 1] = piece
    at = at + (n or 1)
  end
  return table.concat(out)
end

local function hex_of(bytes, form)
  return (bytes:gsub(".", function(byte) return form:format(byte:byte()) end))
end

local LINE_MAX = 16384

--- A sentence as one line that steers no terminal, whatever others wrote into it.
---@param sentence string
---@return string
function M.line(sentence)
  if is_printable_ascii(sentence) then
    return sentence:sub(1, LINE_MAX)
  end
  local line = sentence:gsub("\n+$", ""):gsub("%c", function(byte) return hex_of(byte, "\\x%02x") end)
  line = line:gsub("\194[\128-\159]", function(bytes) return hex_of(bytes, "\\x%02x") end)
  return M.clip(line, LINE_MAX)
end

local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }

--- A text between double quotes, on one line, printable, at most about 80 bytes of it.
---@param text string
---@return string
function M.quote(text)
  if #text <= 80 and is_printable_ascii(text) and not text:find '["\\]' then
    return '"' .. text .. '"'
  end
  local out, size, at = {}, 0, 1
  while at <= #text do
    if size > 80 then
      out[#out + 1] = "..."
      break
    end
    local n = sequence(text, at)
    local piece = text:sub(at, at + (n or 1) - 1)
    if not n or is_control(piece) then
      piece = ESCAPES[piece] or hex_of(piece, "\\x%02X")
    else
      piece = ESCAPES[piece] or piece
    end
    out[#out + 1] = piece
    size = size + #piece
    at = at + (n or 1)
  end
  return '"' .. table.concat(out) .. '"'
end

local MIN_BEGINNING = 3

-- Edit distance in which two neighbours that changed places count once; gives up above
-- `limit`.
local function distance(a, b, limit)
  if math.abs(#a - #b) > limit then
    return limit + 1
  end
  local older, previous
  local row = {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    older, previous, row = previous, row, { [0] = i }
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local best = math.min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + cost)
      if older and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        best = math.min(best, older[j - 2] + 1)
      end
      row[j] = best
    end
  end
  return row[#b]
end

--- The word that was probably meant, or nil when none is near: one that begins so, or one a few edits away. Ties go to
--- the first.
---@param word string
---@param list string[]
---@return string?
function M.nearest(word, list)
  if #word > 64 then
    return nil
  end
  local limit = #word <= 4 and 1 or #word <= 6 and 2 or 3
  local low, best, found = word:lower(), limit + 1, nil
  for _, candidate in ipairs(list) do
    local other = candidate:lower()
    local begins = #low >= MIN_BEGINNING and #low < #other and other:sub(1, #low) == low
    local d = begins and 1 or distance(low, other, limit)
    if d < best then
      best, found = d, candidate
    end
  end
  return found
end

return M
