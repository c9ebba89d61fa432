--- `koncli once fail NAME`: gives a claim back after the work failed.

local once = require "konductor.once"
local settle = require "koncli.settle"
local text = require "konductor.text"

local M = {
  summary = "Gives the claim back after the work failed, so that the next one tries.",
  names = true,
  environment = { token = true },
  examples = [[
  koncli once fail db-init --reason "no space left"
  init-database && koncli once done db-init || koncli once fail db-init]],
}

function M.describe(parser)
  settle.describe(parser)
  parser:option("--reason"):argname("TEXT"):description("Why, for people: it is kept in the record.")
end

function M.run(command, options)
  local final
  local rec, word, sentence = settle.run(command, function(rec, me)
    local status, code, why = once.fail(rec, me, { error = options.reason or ("told by %s"):format(me.holder) })
    final = status and code
    return status, code, why
  end)
  if not rec then
    return command:fail(word --[[@as string]], sentence)
  end
  return command:answer_change(rec, ("Once %s failed, attempt %d: %s"):format(text.quote(options.name),
    rec.status.attempts, final and ("no attempt is left; when mended: koncli once reset %s"):format(options.name)
    or "the next one that comes tries"))
end

return M
