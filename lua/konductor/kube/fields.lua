--- Typed reading of one entry of a configuration file, with sentences that name file and field. Pure.
---
--- A reader keeps the first fault that it finds and then gives nil for everything, so that whoever reads ten fields
--- looks once whether all was well.

local base64 = require "konductor.kube.base64"
local quote = require("konductor.text").quote

local M = {}

local WORDS = { string = "text", boolean = "true or false", table = "a mapping", list = "a list", number = "a number" }
local ADVICE = {
  number = '; put it in quotes',
  boolean = '; put it in quotes',
}

---@class konductor.Fields
---@field where string    '/home/me/.kube/config: user "x"'
---@field dir string      of the file: relative paths start there
---@field fault? string   the first one
---@field word? string    of core/errors.def
---@field system konductor.System
local Fields = {}
Fields.__index = Fields

--- How a value is called in a sentence. Its text may be a secret and is never shown.
---@param value any
---@return string
function M.kind(value)
  if type(value) == "table" and (value[1] ~= nil or getmetatable(value)) then
    return "list"
  end
  return type(value)
end

--- Keeps a fault, if it is the first.
---@param sentence string
---@param word? string
function Fields:fail(sentence, word)
  self.fault = self.fault or ("%s: %s"):format(self.where, sentence)
  self.word = self.word or word or "config"
end

local function typed(self, source, name, wanted)
  local value = source[name]
  if value == nil or self.fault then
    return nil
  end
  local kind = M.kind(value)
  if kind == wanted or (kind == "list" and wanted == "table" and next(value) == nil) then
    return value
  end
  self:fail(("%s must be %s, not %s%s"):format(name, WORDS[wanted], WORDS[kind],
    wanted == "string" and ADVICE[kind] or ""))
end

--- Text; nil when it is absent or empty.
function Fields:text(source, name)
  local value = typed(self, source, name, "string")
  if value and value:find("%c") then
    return self:fail(name .. " has a control character or a line end in it")
  end
  return value ~= "" and value or nil
end

function Fields:boolean(source, name)
  return typed(self, source, name, "boolean") or false
end

function Fields:mapping(source, name)
  return typed(self, source, name, "table")
end

function Fields:list(source, name)
  return typed(self, source, name, "list")
end

--- A path, made relative to nothing but the file that it stands in.
function Fields:path(source, name)
  local value = self:text(source, name)
  if value and value:sub(1, 1) ~= "/" and self.dir ~= "" then
    return self.dir .. "/" .. value
  end
  return value
end

local function read(self, name, path)
  local text, code, detail = self.system.read_file(path)
  if not text then
    return self:fail(("%s: %s"):format(name, detail), code == "denied" and code or nil)
  end
  return text
end

local PEM = {
  certificate = { "%-%-%-%-%-BEGIN %u*%s?CERTIFICATE%-%-%-%-%-", "certificate" },
  key = { "%-%-%-%-%-BEGIN [%u ]*PRIVATE KEY%-%-%-%-%-", "private key" },
}

local function check_pem(self, name, text, what, place)
  if text and (text:find("%z") or not text:find(PEM[what][1])) then
    return self:fail(("%s: there is no %s in PEM form %s"):format(name, PEM[what][2], place))
  end
  return text
end

--- PEM out of a field that has the path of a file, or out of NAME-data in base64; only one of them may be there.
---@param source table
---@param name string
---@param what "certificate"|"key"
---@return string? pem
---@return string? path  when it came from a file
function Fields:pem(source, name, what)
  local path, data = self:path(source, name), typed(self, source, name .. "-data", "string")
  if path and data and data ~= "" then
    return self:fail(("both %s and %s-data are given; keep one of them"):format(name, name))
  elseif path then
    local text = read(self, name, path)
    return check_pem(self, name, text, what, "in " .. path), path
  elseif data and data ~= "" then
    local text, fault = base64.decode(data)
    if not text then
      return self:fail(("%s-data is not base64: %s"):format(name, fault))
    end
    return check_pem(self, name .. "-data", text, what, "behind the base64")
  end
end

--- The text of the file that a field names.
function Fields:file(source, name)
  local path = self:path(source, name)
  return path and read(self, name, path), path
end

---@class konductor.System   what of the machine is read
---@field read_file fun(path: string): string?, string?, string?
---@field decode_yaml fun(text: string, name: string): any, string?, string?

---@param where string
---@param dir string
---@param system konductor.System
---@return konductor.Fields
function M.new(where, dir, system)
  return setmetatable({ where = where, dir = dir, system = system }, Fields)
end

--- The end of a sentence about a name that is not there.
---@param name? string
---@param known table<string, any>
---@return string
function M.instead(name, known)
  local text = require "konductor.text"
  local names = {}
  for other in text.spairs(known) do
    names[#names + 1] = other
  end
  local nearest = name and text.nearest(name, names)
  if nearest then
    return ("did you mean %s?"):format(quote(nearest))
  elseif #names == 0 then
    return "there are none"
  end
  for i, other in ipairs(names) do
    names[i] = quote(other)
  end
  return "there " .. (#names == 1 and "is " or "are ") .. table.concat(names, ", ", 1, math.min(#names, 8))
    .. (#names > 8 and ", ..." or "")
end

return M
