DROP TABLE images_acts;
