--- `koncli once done NAME`: marks work executed that one has claimed.

local once = require "konductor.once"
local settle = require "koncli.settle"
local text = require "konductor.text"

local M = {
  summary = "Marks work executed that one has claimed, after it ended well.",
  names = true,
  describe = settle.describe,
  environment = { token = true },
  examples = [[
  koncli once done db-init
  koncli once done db-init --token $TOKEN    exit code 5: another took over; it may be done twice]],
}

-- The answer to the first try may have been lost, and a script tries again.
local function done_by_us(command)
  local options = command.options
  return function(view)
    return view.executed and view.executor == command.world.holder
      and (not options.token or options.token == view.fence) and (options.version or view.version) == view.version
  end
end

function M.run(command, options)
  local rec, word, sentence = settle.run(command, function(rec, me)
    return once.complete(rec, me)
  end, done_by_us(command))
  if not rec then
    return command:fail(word --[[@as string]], sentence)
  end
  return command:answer_change(rec, ("Once %s executed by %s"):format(text.quote(options.name), command.world.holder))
end

return M
