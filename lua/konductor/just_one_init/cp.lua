--- What the program is under the name cp: the initContainer of just-one-init's manifests copies it with `cp -v` out of an
--- image that has nothing else in it. One file, to a file or into a directory.

local core = require "konductor.core"

local M = {}

local USAGE = "Usage: cp [-v] [-f] SOURCE TARGET"
--- As of coreutils, whatever went wrong.
local EXIT_FAILED = 1

local LONG = { ["--verbose"] = "v", ["--force"] = "f" }

local function complain(sentence, usage)
  core.write(2, ("cp: %s\n%s"):format(sentence, usage and USAGE .. "\n" or ""))
  return EXIT_FAILED
end

-- The flags and the two paths; or a sentence.
local function read(argv)
  local flags, paths, over = "", {}, false
  for _, word in ipairs(argv) do
    if not over and word == "--" then
      over = true
    elseif not over and word:find "^%-." then
      local letters = LONG[word] or word:match "^%-([vf]+)$"
      if not letters then
        return nil, ("%s is not understood; this cp copies one file"):format(word)
      end
      flags = flags .. letters
    else
      paths[#paths + 1] = word
    end
  end
  if #paths ~= 2 or paths[1] == "" or paths[2] == "" then
    return nil, "one file and its target are expected"
  end
  return { verbose = flags:find("v", 1, true) ~= nil, from = paths[1], to = paths[2] }
end

---@param argv string[]
---@return integer exit_code
function M.main(argv)
  local given, sentence = read(argv)
  if not given then
    return complain(sentence, true)
  end
  local path, _, detail = core.copy_file(given.from, given.to)
  if not path then
    return complain(detail)
  elseif given.verbose then
    core.write(1, ("'%s' -> '%s'\n"):format(given.from, path))
  end
  return 0
end

return M
