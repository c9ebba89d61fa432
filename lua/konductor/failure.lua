--- Errors that the library raises in a script: a word of errors.def, or the exit code of a
--- command, with a sentence. A script may catch them with pcall; uncaught, they end the
--- process with their exit code.

local M = {}

---@class konductor.Failure
---@field code string        a word of core/errors.def, or "exit"
---@field sentence string
---@field exit? integer      exit code of the process when nobody catches it
---@field lines? string[]     what belongs below the sentence, to be copied
local Failure = {}
Failure.__index = Failure

function Failure:__tostring()
  return self.sentence
end

---@param code string
---@param sentence string
---@param exit? integer
---@return konductor.Failure
function M.new(code, sentence, exit)
  return setmetatable({ code = code, sentence = sentence, exit = exit }, Failure)
end

---@param value any
---@return boolean
function M.is(value)
  return getmetatable(value) == Failure
end

return M
