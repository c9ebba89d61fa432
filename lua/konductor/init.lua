--- `require "konductor"` as a script sees it: makes the library for one run of one script.
---
--- The library is made anew for each run, over the world that it is given, so that the
--- simulator can run several replicas of a script side by side.

local script = require "konductor.script"
local text = require "konductor.text"

local M = {}

local function no_command(context)
  error(script.where(context) .. ': k.command is the command behind "--", and there is none', 0)
end

-- Handles are loaded at the first use of one: many scripts declare flows and nothing else.
local function add_handles(context, k)
  for _, word in ipairs { "once", "lease", "policy" } do
    k[word] = function(...)
      require("konductor.api.handles").add(context, k)
      return k[word](...)
    end
  end
end

local function words_of(k)
  local words = { "command" }
  for word in text.spairs(k) do
    words[#words + 1] = word
  end
  return words
end

---@param context konductor.ScriptContext
---@return table library
function M.new(context)
  context.holds = setmetatable({}, { __mode = "k" })
  local k = {}
  require("konductor.api.basics").add(context, k)
  require("konductor.api.declare").add(context, k)
  add_handles(context, k)
  k.exec = require("konductor.api.exec").new(context)
  context.library = setmetatable(k, {
    __index = function(_, key)
      if key == "command" then
        return context.command or no_command(context)
      end
      require("konductor.api.schema").unknown(context, "k", key, words_of(k))
    end,
    __newindex = function(_, key)
      error(("%s: k.%s cannot be set"):format(script.where(context), tostring(key)), 0)
    end,
  })
  return context.library
end

return M
