--- Durations in Go's syntax: "1h30m", "500ms", "1.5h". Pure.
---
--- parse() gives whole milliseconds, rounded up, so that what was asked for is never cut
--- short; format() gives the usual spelling back.

local text_of = require "konductor.text"

local floor, ceil = math.floor, math.ceil

local M = {}

--- Longest duration: Go's int64 of nanoseconds ends a little above it.
M.MAX_MS = 290 * 365 * 24 * 3600 * 1000

-- Multiplier and divisor to milliseconds.
local UNITS = {
  h = { 3600000, 1 },
  m = { 60000, 1 },
  s = { 1000, 1 },
  ms = { 1, 1 },
  us = { 1, 1000 },
  ["\194\181s"] = { 1, 1000 }, -- micro sign
  ["\206\188s"] = { 1, 1000 }, -- Greek mu
  ns = { 1, 1000000 },
}

-- What people write instead, in hours.
local FOREIGN = { d = 24, day = 24, days = 24, w = 168, y = 8760 }
local SPELLED = {
  sec = "s", secs = "s", second = "s", seconds = "s", min = "m", mins = "m", minute = "m", minutes = "m",
  hr = "h", hrs = "h", hour = "h", hours = "h", msec = "ms", H = "h", M = "m", S = "s", MS = "ms", Ms = "ms",
}

local function refuse(text, why)
  return nil, "usage", ("bad duration %s: %s"):format(text_of.quote(text), why)
end

local function unit_error(text, number, unit, rest)
  local word = unit == "" and rest:match "^ +([%a\128-\255]+)" or nil
  if word and (UNITS[word] or SPELLED[word]) then
    local right = UNITS[word] and word or SPELLED[word]
    return refuse(text, ('no blank stands before the unit; write "%s%s"'):format(number, right))
  elseif word and FOREIGN[word] then
    unit = word
  end
  if unit == "" then
    return refuse(text, ('%s has no unit; did you mean "%ss"?'):format(number, number))
  end
  local hours, right = FOREIGN[unit], SPELLED[unit]
  local hint = ""
  if hours then
    local count = tonumber(number)
    local total = count and count * hours
    if total and total == floor(total) and total < 1e7 then
      hint = (', write "%dh"'):format(total)
    end
  elseif right then
    hint = (', did you mean "%s%s"?'):format(number, right)
  end
  return refuse(text, ("unknown unit %s; units are h, m, s, ms, us and ns%s"):format(text_of.quote(unit), hint))
end

-- Digits beyond the ninth of a fraction are below a microsecond of an hour: left out, so
-- that the product stays exact.
local function term_ms(whole, fraction, unit)
  local ms = (tonumber(whole) or 0) * unit[1] / unit[2]
  if fraction ~= "" then
    local digits = fraction:sub(1, 9)
    ms = ms + tonumber(digits) * unit[1] / (10 ^ #digits * unit[2])
  end
  return ms
end

--- Reads a duration.
---@param text any
---@return integer? ms    whole milliseconds, rounded up
---@return string? code   "usage"
---@return string? sentence
function M.parse(text)
  if type(text) ~= "string" then
    local shown = tostring(text)
    local hint = type(text) == "number" and (' write "%ss"'):format(shown) or ' write for example "15s"'
    return nil, "usage", ("bad duration %s: a %s is not a duration;%s"):format(shown, type(text), hint)
  elseif text == "" then
    return refuse(text, 'it is empty; write for example "15s" or "1h30m"')
  elseif text == "0" then
    return 0
  elseif text:find("^%-") then
    return refuse(text, "a duration cannot be negative")
  end
  local at = text:find("^%+") and 2 or 1
  if at > #text then
    return refuse(text, "a number is missing")
  end
  local total = 0
  while at <= #text do
    local whole, dot, fraction, after = text:match("^(%d*)(%.?)(%d*)()", at)
    local number = whole .. dot .. fraction
    if whole == "" and fraction == "" then
      return refuse(text, ("a number is expected at byte %d"):format(at))
    elseif text:find("^[eE][%d+-]", after) then
      return refuse(text, "exponents are not understood; write the number out")
    end
    local unit = text:match("^[^%d%.%s%c+-]*", after)
    if not UNITS[unit] then
      return unit_error(text, number, unit, text:sub(after))
    end
    total = total + term_ms(whole, fraction, UNITS[unit])
    if total > M.MAX_MS then
      return refuse(text, "it is longer than 290 years")
    end
    at = after + #unit
  end
  -- Less than a nanosecond: sums of microseconds carry rounding errors far below it.
  return ceil(total - 1e-7)
end

--- The usual spelling: "15s", "1h30m", "1.5s", "500ms", "0s".
---@param ms number
---@return string
function M.format(ms)
  ms = floor(ms + 0.5)
  if ms < 0 then
    return "-" .. M.format(-ms)
  elseif ms == 0 then
    return "0s"
  elseif ms < 1000 then
    return ("%dms"):format(ms)
  end
  local hours, minutes = floor(ms / 3600000), floor(ms / 60000) % 60
  local rest = ms % 60000
  local out = ""
  if hours > 0 then
    out = ("%dh"):format(hours)
  end
  if minutes > 0 then
    out = out .. ("%dm"):format(minutes)
  end
  if rest > 0 then
    local seconds, thousandths = floor(rest / 1000), rest % 1000
    out = out .. seconds
    if thousandths > 0 then
      out = out .. "." .. ("%03d"):format(thousandths):gsub("0+$", "")
    end
    out = out .. "s"
  end
  return out
end

return M
