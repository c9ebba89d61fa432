--- Base64, as kubeconfig files have it (RFC 4648, padded, line ends ignored). Pure.

local M = {}

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local VALUES = {}
for i = 1, 64 do
  VALUES[ALPHABET:byte(i)] = i - 1
end
local PADDING = ("="):byte()

-- Three bytes of four characters, fewer where padding stands.
local function group(a, b, c, d)
  local bits = a * 0x40000 + b * 0x1000 + (c or 0) * 0x40 + (d or 0)
  local bytes = string.char(math.floor(bits / 0x10000), math.floor(bits / 0x100) % 0x100, bits % 0x100)
  return bytes:sub(1, d and 3 or c and 2 or 1)
end

--- Decodes a text. What is wrong is told without the text, which may be a secret.
---@param text string
---@return string? bytes
---@return string? fault
function M.decode(text)
  text = text:gsub("[\r\n]", "")
  local bad = text:find("[^A-Za-z0-9+/=]")
  if bad then
    return nil, ("character %d is not one of base64"):format(bad)
  elseif #text % 4 ~= 0 then
    return nil, ("it is cut off: %d characters, where base64 has a multiple of 4"):format(#text)
  elseif text:find("=", 1, true) and not text:find("^[^=]+==?$") then
    return nil, 'a "=" stands elsewhere than at the end'
  end
  local out = {}
  for i = 1, #text, 4 do
    local a, b, c, d = text:byte(i, i + 3)
    out[#out + 1] = group(VALUES[a], VALUES[b], c ~= PADDING and VALUES[c] or nil, d ~= PADDING and VALUES[d] or nil)
  end
  return table.concat(out)
end

local function characters(a, b, c)
  local bits = a * 0x10000 + (b or 0) * 0x100 + (c or 0)
  local out = {}
  for i = 1, 4 do
    local value = math.floor(bits / 64 ^ (4 - i)) % 64 + 1
    out[i] = ALPHABET:sub(value, value)
  end
  out[3], out[4] = b and out[3] or "=", c and out[4] or "="
  return table.concat(out)
end

---@param bytes string
---@return string
function M.encode(bytes)
  local out = {}
  for i = 1, #bytes, 3 do
    out[#out + 1] = characters(bytes:byte(i, i + 2))
  end
  return table.concat(out)
end

return M
