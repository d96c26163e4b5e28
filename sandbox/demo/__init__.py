"""The seed story, told in a terminal on real parts: `python -m sandbox.demo`.

narration.py   what is printed, and how
observing.py   waiting until something is seen, with a deadline
kubectl.py     the real kubectl, shown as it is run
people.py      states, employees and their PDFs
world.py       the AWS side: tables, buckets, records, files, and everything that may be left behind
stage.py       sets up, and cleans up whatever happens
story.py       the steps, in order
"""
