--- Names of objects and of versions, as Kubernetes allows them. Pure.
---
--- One rule on every store, so that a script which works on a laptop works in a cluster.

local quote = require("konductor.text").quote

local M = {}

M.MAX_NAME = 253
M.MAX_VERSION = 128

local function shown(byte)
  if byte >= 33 and byte <= 126 then
    return '"' .. string.char(byte) .. '"'
  elseif byte == 32 then
    return "a space"
  end
  return ("byte 0x%02X"):format(byte)
end

local function not_a_string(what, value)
  return nil, "usage", ("a %s must be a string, not a %s"):format(what, type(value))
end

-- Where a DNS-1123 subdomain goes wrong: a sentence, or nil when it does not.
local function fault(name)
  local bad = name:find("[^a-z0-9.-]")
  if bad then
    local byte = name:byte(bad)
    local hint = byte >= 65 and byte <= 90 and (', write "%s"'):format(string.char(byte):lower()) or ""
    if byte == 95 then
      hint = ', write "-"'
    end
    return ('%s at place %d is not allowed; only a-z, 0-9, "-" and "." are%s'):format(shown(byte), bad, hint)
  elseif name:find("^[.-]") then
    return ("it starts with %s; it must start with a letter or a digit"):format(shown(name:byte(1)))
  elseif name:find("[.-]$") then
    return ("it ends with %s; it must end with a letter or a digit"):format(shown(name:byte(-1)))
  end
  local seam = name:find("[.-]%.") or name:find("%.%-")
  if seam then
    return ('%s at place %d follows %s; each part between dots starts and ends with a letter or a digit')
      :format(shown(name:byte(seam + 1)), seam + 1, shown(name:byte(seam)))
  end
end

--- Checks the name of an object: a DNS-1123 subdomain of at most 253 bytes.
---@param name any
---@return string? name
---@return string? code   "usage"
---@return string? sentence
function M.check(name)
  if type(name) ~= "string" then
    return not_a_string("name", name)
  elseif name == "" then
    return nil, "usage", "a name is empty"
  elseif #name > M.MAX_NAME then
    return nil, "usage", ("a name of %d bytes is too long; at most %d"):format(#name, M.MAX_NAME)
  end
  local why = fault(name)
  if why then
    return nil, "usage", ("bad name %s: %s"):format(quote(name), why)
  end
  return name
end

--- Checks a version: printable text of at most 128 bytes; "" means none.
---@param version any
---@return string? version
---@return string? code
---@return string? sentence
function M.version(version)
  if type(version) ~= "string" then
    return not_a_string("version", version)
  elseif #version > M.MAX_VERSION then
    return nil, "usage", ("a version of %d bytes is too long; at most %d"):format(#version, M.MAX_VERSION)
  end
  local bad = version:find("[^\33-\126]")
  if bad then
    return nil, "usage", ("bad version %s: %s at place %d is not allowed; only printable characters without spaces are")
      :format(quote(version), shown(version:byte(bad)), bad)
  end
  return version
end

-- A key of a label without its prefix, or a value.
local function is_label(part)
  return #part <= 63 and part:find "^%w[%w._-]*$" ~= nil and part:find "%w$" ~= nil
end

--- Checks a label of Kubernetes, written as "key=value"; the key may have a prefix, as in "example.org/role=leader".
---@param label string
---@return { key: string, value: string }?
---@return string? code
---@return string? sentence
function M.label(label)
  local key, value = label:match "^([^=]*)=(.*)$"
  if not key then
    return nil, "usage", ('bad label %s: "key=value" is expected'):format(quote(label))
  end
  local prefix, word = key:match "^([^/]*)/(.*)$"
  if prefix and not M.check(prefix) or not is_label(word or key) or not is_label(value) then
    local rule = "key and value have at most 63 letters, digits, \"-\", \"_\" and \".\", the first and last of them "
      .. "a letter or a digit; before the key a domain and \"/\" may stand"
    return nil, "usage", ("bad label %s: %s"):format(quote(label), rule)
  end
  return { key = key, value = value }
end

return M
