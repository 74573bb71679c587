"""Mutation: does a test notice when the code says something else?

`python -m tests.mutation [MODULE ...]` changes one small thing of a module at a time, in memory alone, and runs the
tests that execute the changed line. A mutant that no test notices is listed with its place; either a test is missing,
or the mutant means the same, and then `equivalents.txt` says why. What is changed are operators and their operands,
constants, arguments, defaults, decorators, handlers, iterables and whole statements, as the usual tools do it.

1. Each test is run once under coverage, so that it is known which tests execute which line.
2. A process that has collected all tests forks for each mutant. The child exchanges the code of the changed function
   and runs the tests of the module's and the folder's own files first, then the others, those that execute least of
   the package first, until one fails. Nothing is imported or collected again, so that a mutant costs little more than
   the first test that notices it. Tests that fail in such a child without any change are left out.
3. What has survived that, and what is changed outside functions, is tried again in a process that has not imported the
   package: an import hook gives it the changed module. Nothing that was made from the old code is left there.
4. A test that takes far longer than it needs has noticed the mutant.

cosmic-ray was tried: it changes files in place, one at a time, starts an interpreter for each mutant (3.5 s of them),
and changes annotations, which mean nothing at run time. mutmut wraps every function, which tests of names notice.
"""
