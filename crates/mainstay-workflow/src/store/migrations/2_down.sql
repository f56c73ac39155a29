DROP TABLE wf_acts;
