"""The seed story in a terminal on real parts: `python -m sandbox.demo`.

It exists so that a newcomer sees in a minute what the operator is for. It is a program: nothing imports it.

narration.py   what is printed, and how
observing.py   waiting until something is seen, with a deadline
patience.py    how people get along in bad weather
kubectl.py     the real kubectl, shown as it is run
people.py      states, employees and their PDFs
aws_side.py    the AWS side: tables, buckets, records, files, and everything that may be left behind
stage.py       sets up, and cleans up whatever happens; what an operator of the story has to do
operators.py   the operator as a local process, or in a pod
story.py       the steps, in order
sweeping.py    the step of the sweep, which takes two days of S3's clock
in_pods.py     the steps besides, where the operator runs in a pod
"""
